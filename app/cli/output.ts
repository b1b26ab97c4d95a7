/**
 * Output of commands. If the reader goes away (`| head -1`), that is not an error: nothing more is printed, and a
 * command that only prints stops. A command with a meaningful exit code (send, verify, repair) goes on silently.
 */
import { once } from 'node:events'
import { messageOf, systemCode } from '../errors.ts'

export const EXIT_FAILED = 1

let hasReader = true

/** Call once, before any output: without a listener, an error of the stream ends the process with a stack trace. */
export function watchOutput(): void {
  process.stderr.on('error', () => undefined)
  process.stdout.on('error', (error) => {
    if (!hasReader) return
    hasReader = false
    if (systemCode(error) === 'EPIPE') return
    process.exitCode = EXIT_FAILED
    process.stderr.write(
      `millrace: cannot write to standard output (${messageOf(error)}): what was printed is not whole\n`,
    )
  })
}

/** @returns whether the reader is still there. */
export function print(line: string): Promise<boolean> {
  return printBytes(`${line}\n`)
}

/** Prints bytes unchanged. @returns whether the reader is still there. */
export async function printBytes(bytes: Buffer | string): Promise<boolean> {
  if (!hasReader) return false
  if (!process.stdout.write(bytes)) await once(process.stdout, 'drain').catch(() => undefined)
  return hasReader
}

/** Prints progress and warnings, to standard error. */
export function note(line: string): void {
  process.stderr.write(`${line}\n`)
}
