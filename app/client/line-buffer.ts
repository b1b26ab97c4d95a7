/**
 * Collects lines as bytes in a buffer of a fixed size that is reused. A body taken from it is as large as its lines.
 */
import type { Body } from './store.ts'

const NEWLINE = 0x0a
const encoder = new TextEncoder()

/** A line with its newline, for a line that is larger than the buffer. */
export function lineOf(text: string): Body {
  return encoder.encode(`${text}\n`)
}

export class LineBuffer {
  readonly #buffer: Body
  #bytes = 0
  #lines = 0

  constructor(maxBytes: number) {
    this.#buffer = new Uint8Array(maxBytes)
  }

  get lines(): number {
    return this.#lines
  }

  /**
   * Writes a line after the others. The next `write` overwrites it unless `keep` is called.
   * @returns its bytes with the newline; undefined when there is no room.
   */
  write(text: string): number | undefined {
    const room = this.#buffer.subarray(this.#bytes)
    const { read, written } = encoder.encodeInto(text, room)
    if (read < text.length || written === room.length) return undefined
    room[written] = NEWLINE
    return written + 1
  }

  /** @param bytes that `write` has returned. */
  keep(bytes: number): void {
    this.#bytes += bytes
    this.#lines += 1
  }

  /** All lines; the buffer is empty then. */
  take(): Body {
    const body = this.#buffer.slice(0, this.#bytes)
    this.#bytes = 0
    this.#lines = 0
    return body
  }
}
