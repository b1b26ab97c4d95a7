/**
 * What commands print. A reader that goes away (`| head -1`) is no error: from then on nothing is printed, and a command that only prints
 * stops. One whose exit code says something (send, verify, repair) goes on without words.
 */
import { once } from 'node:events'
import { messageOf, systemCode } from '../errors.ts'

export const EXIT_FAILED = 1

let hasReader = true

/** Once a process, before anything is printed: without a listener, an error of the stream ends the process with a stack. */
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

/** @returns whether anybody reads on. */
export function print(line: string): Promise<boolean> {
  return printBytes(`${line}\n`)
}

/** As it is. @returns whether anybody reads on. */
export async function printBytes(bytes: Buffer | string): Promise<boolean> {
  if (!hasReader) return false
  if (!process.stdout.write(bytes)) await once(process.stdout, 'drain').catch(() => undefined)
  return hasReader
}

/** What is beside the output: progress, warnings. */
export function note(line: string): void {
  process.stderr.write(`${line}\n`)
}
