/**
 * Programs that a deployment runs, one at a time. A signal ends a deployment gracefully: the program that runs hears SIGINT once, when
 * it may be ended, and has the time to write its state and to let go of its lock; none is started after it.
 *
 * Each is in a process group of its own. Ctrl-C reaches every process of the terminal's group, and npm passes signals on as well:
 * Terraform takes a second SIGINT for "at once", and loses what it was making.
 */
import { spawn } from 'node:child_process'

/** Somebody has ended the deployment. */
export class InterruptedError extends Error {
  readonly signal: NodeJS.Signals

  constructor(signal: NodeJS.Signals) {
    super('Stopped. The same command goes on from here.')
    this.signal = signal
  }
}

export interface RunOptions {
  readonly cwd?: string
  readonly env?: NodeJS.ProcessEnv
  /** Its standard input; else it has none. */
  readonly input?: string
  /** Hears each line of its standard output; else both outputs are shown as they come. */
  readonly onLine?: (line: string) => void
  /** Whether it may be ended now; default always. Asked when it has printed nothing for `QUIET_MS`. */
  readonly mayEnd?: () => boolean
}

/** Lines about the end of one thing and the beginning of the next come together. */
const QUIET_MS = 500

/** Ends what runs, as soon as it may be ended. */
let endRunning: (() => void) | undefined
let stopping: NodeJS.Signals | undefined

/** From now on a signal ends what runs, as above, instead of this process. */
export function endOnSignals(): void {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      if (stopping !== undefined) return
      stopping = signal
      console.error('\nStopping, once what AWS has begun is written down. Please wait.')
      endRunning?.()
    })
  }
}

/** @throws InterruptedError after a signal. */
export function requireGoingOn(): void {
  if (stopping !== undefined) throw new InterruptedError(stopping)
}

/** Runs a program to its end. @throws InterruptedError when a signal came before or meanwhile. */
export async function runProgram(
  command: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<{ readonly code: number; readonly stderr: string }> {
  requireGoingOn()
  const { cwd, env = process.env, input, onLine, mayEnd = () => true } = options
  const output = onLine ? 'pipe' : 'inherit'
  const child = spawn(command, args, { cwd, env, detached: true, stdio: ['pipe', output, onLine ? 'pipe' : 'inherit'] })
  let quiet: NodeJS.Timeout | undefined
  const endWhenQuiet = () => {
    clearTimeout(quiet)
    quiet = setTimeout(() => mayEnd() && child.kill('SIGINT'), QUIET_MS)
  }
  endRunning = endWhenQuiet
  child.stdin?.on('error', () => undefined) // it has ended without reading: its exit code says why
  child.stdin?.end(input ?? '')
  let rest = ''
  let stderr = ''
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    const lines = (rest + text).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) onLine?.(line)
    if (stopping !== undefined) endWhenQuiet()
  })
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
  })
  try {
    const code = await new Promise<number>((done, fail) => {
      child.on('error', fail)
      child.on('close', (status) => done(status ?? 1))
    })
    requireGoingOn()
    return { code, stderr }
  } finally {
    clearTimeout(quiet)
    endRunning = undefined
  }
}
