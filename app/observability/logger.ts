/**
 * The service's own log: JSON lines, or readable lines on a terminal. It goes to stderr if the stdout sink uses stdout.
 * It never stops the service: a line that cannot be written (the reader has gone, the disk is full) is dropped. The
 * next line that can be written reports how many were dropped.
 */
import { writeSync } from 'node:fs'
import { type Logger, pino } from 'pino'
import { printable, printableLines } from '../process/printable.ts'

const WARNING = 40

/** @param stream the stream for log lines: standard error if events go to standard output. */
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

/** Makes text that others wrote safe for a terminal, in one line. A stack keeps its line breaks. */
function forTerminal(key: string, value: unknown): unknown {
  if (typeof value !== 'string') return value
  return key === 'stack' ? printableLines(value) : printable(value)
}

/** Writes complete lines, or drops them. */
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
