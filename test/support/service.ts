/** The real service as a child process, on free ports and a directory of its own. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { onTestFinished } from 'vitest'
import packageJson from '../../package.json' with { type: 'json' }

/** As `npm start` has them. */
const NODE_OPTIONS = packageJson.scripts.start.match(/--\S+/g) ?? []
export const CLI = fileURLToPath(new URL('../../app/cli.ts', import.meta.url))
const READY = /ready: (?:send events to (http:\S+)\/v1\/events|delivering) .* metrics (http:\S+)\/metrics/
const START_TIMEOUT_MS = 10_000

export interface Service {
  readonly process: ChildProcess
  readonly url: string
  readonly adminUrl: string
  /** From spawn to the ready line, milliseconds. */
  readonly readyAfterMs: number
  /** Everything it has printed. */
  output(): string
  /** Sends the signal and waits for the end; the exit code, or the signal that ended it. */
  stop(signal?: NodeJS.Signals): Promise<number | string>
}

/** Starts the service in `directory` and waits until it says that it is ready. */
export async function startService(
  directory: string,
  environment: Record<string, string> = {},
  readyWithinMs = START_TIMEOUT_MS,
): Promise<Service> {
  const child = spawn(process.execPath, [...NODE_OPTIONS, CLI, 'serve'], {
    cwd: directory,
    env: { PATH: process.env.PATH, PORT: '0', ADMIN_PORT: '0', SHUTDOWN_GRACE_MS: '0', ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  return whenReady(child, readyWithinMs)
}

/** Waits until the service that `child` is, or runs, says that it is ready. The child ends with the test. */
export async function whenReady(child: ChildProcess, readyWithinMs = START_TIMEOUT_MS): Promise<Service> {
  const startedAt = performance.now()
  const exited = once(child, 'exit')
  onTestFinished(() => void child.kill('SIGKILL'))
  let output = ''
  const addresses = await new Promise<{ url: string; adminUrl: string }>((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`not ready in time:\n${output}`)), readyWithinMs)
    const look = (text: string) => {
      output += text
      const [, url = '', adminUrl] = READY.exec(output) ?? []
      if (adminUrl === undefined) return
      clearTimeout(timer)
      resolve({ url, adminUrl })
    }
    for (const stream of [child.stdout, child.stderr]) stream?.setEncoding('utf8').on('data', look)
    exited.then(([code]) => reject(new Error(`ended with ${code} before it was ready:\n${output}`)))
  })
  return {
    process: child,
    ...addresses,
    readyAfterMs: performance.now() - startedAt,
    output: () => output,
    stop: async (signal = 'SIGTERM') => {
      child.kill(signal)
      const [code, endedBy] = await exited
      return code ?? endedBy
    },
  }
}

/** Every event in the file sink's directory, in the order of the files. */
export function deliveredIn(directory: string): { id: string; subject?: string; data: unknown }[] {
  if (!existsSync(directory)) return []
  const files = readdirSync(directory)
    .filter((name) => name.startsWith('events-'))
    .sort((a, b) => a.localeCompare(b, undefined, { numeric: true }))
  return [...files, ...readdirSync(directory).filter((name) => name === 'current.ndjson')].flatMap((name) =>
    readFileSync(join(directory, name), 'utf8')
      .split('\n')
      .filter((line) => line.endsWith('}'))
      .map((line) => JSON.parse(line)),
  )
}

/** The samples of a scrape: `name{labels}` → value. */
export async function scrape({ adminUrl }: Service): Promise<Map<string, number>> {
  const text = await (await fetch(`${adminUrl}/metrics`)).text()
  const samples = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'))
  return new Map(
    samples.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ') + 1))]),
  )
}

/** Waits until `check` holds, looking every few milliseconds. */
export async function until(check: () => boolean | Promise<boolean>, timeoutMs: number, what: string): Promise<void> {
  const deadline = performance.now() + timeoutMs
  while (!(await check())) {
    if (performance.now() > deadline) throw new Error(`not within ${timeoutMs} ms: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}
