/** The command line as its users run it: a child process, its exit code and what it printed. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { onTestFinished } from 'vitest'
import { CLI } from './service.ts'
import { temporaryDirectory } from './temporary.ts'

export interface Run {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** @param options.uid of the user that runs it; only root may choose one. */
export async function millrace(
  args: readonly string[],
  {
    cwd = temporaryDirectory(),
    env = {},
    input = '',
    uid,
  }: {
    readonly cwd?: string
    readonly env?: Readonly<Record<string, string>>
    readonly input?: string | Buffer
    readonly uid?: number
  } = {},
): Promise<Run> {
  const child = spawn(process.execPath, [CLI, ...args], {
    cwd,
    env: { PATH: process.env.PATH, ...env },
    stdio: 'pipe',
    ...(uid !== undefined && { uid }),
  })
  onTestFinished(() => void child.kill('SIGKILL'))
  let [stdout, stderr] = ['', '']
  child.stdout.setEncoding('utf8').on('data', (text) => {
    stdout += text
  })
  child.stderr.setEncoding('utf8').on('data', (text) => {
    stderr += text
  })
  child.stdin.on('error', () => undefined) // it may end before it has read everything
  child.stdin.end(input)
  const [code] = await once(child, 'close')
  return { code, stdout, stderr }
}
