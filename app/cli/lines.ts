/** Splits NDJSON into lines, one event each. The bytes are not decoded, so they cannot change. */

/** The part of the input with one event. */
export interface Part {
  /** Where the event begins: line, and byte of that line, both from 1. */
  readonly line: number
  readonly column: number
  /** Undefined when the event is refused here; `problem` says why. */
  readonly bytes?: Buffer
  readonly problem?: string
}

/** Largest event that any Millrace accepts (the maximum of MAX_BODY_BYTES). A larger one is skipped, not buffered. */
export const MAX_EVENT_BYTES = 64 * 1024 * 1024
const NEWLINE = 0x0a
const RETURN = 0x0d
const TAB = 0x09
const SPACE = 0x20
const BYTE_ORDER_MARK = Buffer.from([0xef, 0xbb, 0xbf])

export function tooLarge(bytes: number): string {
  return `an event of ${bytes} bytes, and no Millrace takes more than ${MAX_EVENT_BYTES}`
}

/** The lines that are not blank, without line ends (`\n` or `\r\n`) and without a byte order mark. */
export async function* lines(input: AsyncIterable<Buffer>): AsyncGenerator<Part> {
  // Not node:readline: it also ends lines at U+2028 and U+2029, which are valid in a JSON string (RFC 8259, section 7).
  let line = 1
  let parts: Buffer[] = []
  let length = 0
  for await (const bytes of input) {
    let from = 0
    for (let end = bytes.indexOf(NEWLINE); end !== -1; end = bytes.indexOf(NEWLINE, from)) {
      const last = bytes.subarray(from, end)
      from = end + 1
      const part = toPart(line, parts.length === 0 ? last : Buffer.concat([...parts, last]), length + last.length)
      if (part) yield part
      line += 1
      if (parts.length > 0) parts = []
      length = 0
    }
    const rest = bytes.subarray(from)
    length += rest.length
    if (length > MAX_EVENT_BYTES) parts = []
    else if (rest.length > 0) parts.push(rest)
  }
  const part = toPart(line, Buffer.concat(parts), length)
  if (part) yield part
}

function toPart(line: number, bytes: Buffer, length: number): Part | undefined {
  if (length > MAX_EVENT_BYTES) return { line, column: 1, problem: tooLarge(length) }
  const begin = bytes.length >= 3 && bytes.subarray(0, 3).equals(BYTE_ORDER_MARK) ? 3 : 0
  let end = bytes.length
  while (end > begin && isBlank(bytes[end - 1])) end -= 1
  if (end === begin) return undefined
  return { line, column: begin + 1, bytes: bytes.subarray(begin, end) }
}

function isBlank(byte: number | undefined): boolean {
  return byte === SPACE || byte === TAB || byte === RETURN || byte === NEWLINE
}
