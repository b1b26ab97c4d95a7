/**
 * Splits an input that is not NDJSON into events: arrays of events, objects over several lines, or objects one after
 * the other. It looks only at strings and brackets. The service decides whether an event is valid JSON.
 *
 *     [ {…}, {…} ]        the elements of an array
 *     {…} {…} [ … ]       several values one after the other
 */
import { MAX_EVENT_BYTES, type Part, tooLarge } from './lines.ts'

const NEWLINE = 0x0a
const RETURN = 0x0d
const TAB = 0x09
const SPACE = 0x20
const QUOTE = 0x22
const COMMA = 0x2c
const BACKSLASH = 0x5c
const [OPEN_BRACKET, CLOSE_BRACKET, OPEN_BRACE, CLOSE_BRACE] = [0x5b, 0x5d, 0x7b, 0x7d]

export async function* documents(input: AsyncIterable<Buffer>): AsyncGenerator<Part> {
  const splitter = new Splitter()
  for await (const bytes of input) {
    splitter.read(bytes)
    yield* splitter.take()
  }
  splitter.end()
  yield* splitter.take()
}

class Splitter {
  #found: Part[] = []
  #line = 1
  #column = 0
  /** Line of the open array, whose elements are events; 0: no array is open. */
  #arrayLine = 0
  /** Whether there was an element before the comma or the end of the array. */
  #hasElement = false
  #afterComma = false
  // State of the event that is being read:
  #parts: Buffer[] = []
  #length = 0
  #begin: { readonly line: number; readonly column: number } | undefined
  #depth = 0
  #inString = false
  #isEscaped = false
  #problem: string | undefined

  take(): Part[] {
    const found = this.#found
    this.#found = []
    return found
  }

  read(bytes: Buffer): void {
    let from = 0
    for (let at = 0; at < bytes.length; at++) {
      const byte = bytes[at] as number
      this.#column += 1
      if (this.#begin === undefined) {
        if (!this.#begins(byte)) {
          this.#next(byte)
          continue
        }
        this.#begin = { line: this.#line, column: this.#column }
        from = at
      }
      const ended = this.#step(byte)
      if (ended !== undefined) {
        this.#hold(bytes.subarray(from, ended === 'with it' ? at + 1 : at))
        this.#finish()
        if (ended === 'before it') this.#separate(byte)
      }
      this.#next(byte)
    }
    if (this.#begin !== undefined) this.#hold(bytes.subarray(from))
  }

  end(): void {
    if (this.#begin !== undefined && (this.#depth > 0 || this.#inString)) {
      this.#found.push({ ...this.#begin, problem: 'the input ends within this event: it is cut short' })
    } else if (this.#begin !== undefined) this.#finish()
    if (this.#arrayLine === 0) return
    const problem = `the input ends within the array that begins in line ${this.#arrayLine}: it is cut short`
    this.#found.push({ line: this.#line, column: this.#column, problem })
  }

  #next(byte: number): void {
    if (byte !== NEWLINE) return
    this.#line += 1
    this.#column = 0
  }

  /** Between events: whether this byte begins an event. */
  #begins(byte: number): boolean {
    if (byte === SPACE || byte === TAB || byte === RETURN || byte === NEWLINE) return false
    if (this.#arrayLine > 0) return !this.#separate(byte)
    if (byte !== OPEN_BRACKET) return true
    this.#arrayLine = this.#line
    this.#hasElement = false
    this.#afterComma = false
    return false
  }

  /** @returns whether the byte belongs to the array itself: a comma between elements, or its end. */
  #separate(byte: number): boolean {
    if (this.#arrayLine === 0 || (byte !== COMMA && byte !== CLOSE_BRACKET)) return false
    if (!this.#hasElement && (byte === COMMA || this.#afterComma)) {
      this.#found.push({ line: this.#line, column: this.#column, problem: 'malformed JSON: an event is missing here' })
    }
    this.#hasElement = false
    this.#afterComma = byte === COMMA
    if (byte === CLOSE_BRACKET) this.#arrayLine = 0
    return true
  }

  /** Within an event: whether it ends with this byte or before it; undefined if it goes on. */
  #step(byte: number): 'with it' | 'before it' | undefined {
    if (this.#inString) {
      if (this.#isEscaped) this.#isEscaped = false
      else if (byte === BACKSLASH) this.#isEscaped = true
      else if (byte === QUOTE) this.#inString = false
      // A JSON string cannot contain a line break: a quote is missing, and the string ends here.
      if (byte === NEWLINE) {
        this.#inString = false
        this.#isEscaped = false
        this.#problem ??= `malformed JSON: line ${this.#line} ends within a string`
      }
      return undefined
    }
    if (byte === QUOTE) this.#inString = true
    else if (byte === OPEN_BRACE || byte === OPEN_BRACKET) this.#depth += 1
    else if (byte === CLOSE_BRACE || byte === CLOSE_BRACKET) {
      if (this.#depth === 0) return byte === CLOSE_BRACKET && this.#arrayLine > 0 ? 'before it' : undefined
      this.#depth -= 1
      if (this.#depth === 0 && this.#arrayLine === 0) return 'with it'
    } else if (this.#depth === 0 && (this.#arrayLine > 0 ? byte === COMMA : byte === NEWLINE)) return 'before it'
    return undefined
  }

  #hold(bytes: Buffer): void {
    this.#length += bytes.length
    if (this.#length > MAX_EVENT_BYTES) this.#parts = []
    else this.#parts.push(bytes)
  }

  #finish(): void {
    const begin = this.#begin ?? { line: this.#line, column: this.#column }
    const problem = this.#length > MAX_EVENT_BYTES ? tooLarge(this.#length) : this.#problem
    this.#found.push(problem === undefined ? { ...begin, bytes: Buffer.concat(this.#parts) } : { ...begin, problem })
    this.#hasElement = true
    this.#begin = undefined
    this.#parts = []
    this.#length = 0
    this.#depth = 0
    this.#inString = false
    this.#problem = undefined
  }
}
