/**
 * The service's own log: JSON lines, or readable ones on a terminal; on stderr when stdout belongs to the stdout sink. It never stops the
 * service: a line that cannot be written (a reader that went away, a full disk) is dropped, and the next one that can be says how many were.
 */
import { writeSync } from 'node:fs'
import { type Logger, pino } from 'pino'
import { printable, printableLines } from '../process/printable.ts'

const WARNING = 40

/** @param stream where its lines go: standard error where standard output belongs to events. */
export async function createLogger(
  level: string,
  stream: { readonly fd: number; readonly isTTY?: boolean },
): Promise<Logger> {
  const options = { level, redact: ['req.headers.authorization', 'headers.authorization'] }
  if (!stream.isTTY) return pino(options, new LineWriter(stream.fd, (line) => `${printable(line.trimEnd())}\n`))
  const { prettyFactory } = await import('pino-pretty')
  const pretty = prettyFactory({ colorize: true, ignore: 'pid,hostname', translateTime: 'HH:MM:ss.l' })
  return pino(options, new LineWriter(stream.fd, (line) => pretty(JSON.parse(line, forTerminal))))
}

/** Others' words, in one line each; a stack keeps its own. */
function forTerminal(key: string, value: unknown): unknown {
  if (typeof value !== 'string') return value
  return key === 'stack' ? printableLines(value) : printable(value)
}

/** Writes whole lines, or drops them. */
export class LineWriter {
  readonly #fd: number
  readonly #format: (line: string) => string
  #dropped = 0

  constructor(fd: number, format: (line: string) => string) {
    this.#fd = fd
    this.#format = format
  }

  write(line: string): void {
    try {
      if (this.#dropped > 0) {
        const msg = `${this.#dropped} lines of this log could not be written`
        writeFully(this.#fd, this.#format(JSON.stringify({ level: WARNING, time: Date.now(), pid: process.pid, msg })))
        this.#dropped = 0
      }
      writeFully(this.#fd, this.#format(line))
    } catch {
      this.#dropped += 1
    }
  }
}

function writeFully(fd: number, text: string): void {
  const bytes = Buffer.from(text)
  for (let done = 0; done < bytes.length; ) done += writeSync(fd, bytes, done)
}
