/**
 * Scans JSON without making objects. Input: bytes. Output: the places of texts and of the members of each outermost
 * object. It knows nothing of events.
 *
 *     bytes ─scan─▶ Places: head, member, member, head, member, …        ─fill─▶ lines, with missing members added
 *
 * It accepts the same JSON as JSON.parse (RFC 8259), at any depth. It does not check UTF-8: `isUtf8` of Node is faster.
 * The work is done in WebAssembly (assembly/scanner.ts), in memory of a fixed size. Use one scanner for each thread.
 * Its results are valid only until its next call.
 */
import { readFileSync } from 'node:fs'

/**
 * Numbers, relative to the scanned bytes. Each text has a head of 4 numbers, then 4 numbers for each member. The head
 * has the start, the end, the number of listed members (or a code for other texts), and the marks (see {@link Mark}).
 */
export type Places = Int32Array

/** Codes in place of the number of members. */
export const MALFORMED = -1
export const NO_OBJECT = -2

/** Marks of a text. The lower bits say which of the numbered names it has. */
export const Mark = {
  /** Nested deeper than {@link ScannerOptions.maxDepth}. */
  TOO_DEEP: 0x10000,
  /** More members than {@link MAX_MEMBERS}: further members are not listed. */
  TOO_MANY: 0x20000,
  /** A member is null and is not in {@link ScannerOptions.nullable}. */
  HAS_NULL: 0x40000,
  /** A numbered name occurs twice. */
  NAME_TWICE: 0x80000,
  /** A member has a name without a number. */
  HAS_OTHERS: 0x100000,
} as const

export const MAX_MEMBERS = 1024
/** The number of every other name. */
export const OTHER_NAME = 0xff

const HEAD = 4
const MEMBER = 4
const ODD_NAME = 0x100
const PLAIN_TEXT = 0x200

export const startOf = (places: Places, head: number): number => places[head] as number
export const endOf = (places: Places, head: number): number => places[head + 1] as number
/** Number of listed members, {@link MALFORMED} or {@link NO_OBJECT}. */
export const membersOf = (places: Places, head: number): number => places[head + 2] as number
export const marksOf = (places: Places, head: number): number => places[head + 3] as number
/** The head of the next text. */
export const nextHead = (places: Places, head: number): number =>
  head + HEAD + MEMBER * Math.max(0, places[head + 2] as number)
/** The first member; the next one is {@link MEMBER_STEP} numbers further. */
export const firstMember = (head: number): number => head + HEAD
export const MEMBER_STEP = MEMBER
/** The number of its name, or {@link OTHER_NAME}. */
export const nameOf = (places: Places, member: number): number => (places[member] as number) & 0xff
/** Whether the name has escapes, or characters other than printable ASCII. */
export const isOddName = (places: Places, member: number): boolean => ((places[member] as number) & ODD_NAME) !== 0
/** Whether the value is a string of printable ASCII without escapes. */
export const isPlainText = (places: Places, member: number): boolean => ((places[member] as number) & PLAIN_TEXT) !== 0
/** Length of the name between its quotes, bytes; 65,535 for any longer name. */
export const nameLengthOf = (places: Places, member: number): number => (places[member] as number) >>> 16
/** Position of the name, after its opening quote. */
export const nameAt = (places: Places, member: number): number => places[member + 1] as number
export const valueAt = (places: Places, member: number): number => places[member + 2] as number
export const valueEnd = (places: Places, member: number): number => places[member + 3] as number

export interface ScannerOptions {
  /** Names that get a number: their index here. At most 16 names, of at most 15 bytes each. */
  readonly names: readonly string[]
  /** Deepest allowed nesting of objects and arrays, below the outermost one. */
  readonly maxDepth: number
  /** Numbers of names whose value may be null. Default: none. */
  readonly nullable?: readonly number[]
}

/** How texts are arranged in the bytes: one a line (NDJSON), a single one, or the elements of an array. */
export type Form = 'lines' | 'one' | 'array'

/** Some texts, in order. Valid until the callback returns; the callback must not scan. */
export interface Scanned {
  readonly places: Places
  /** Head of the first text. */
  readonly head: number
  readonly texts: number
  /** Position in the scanned bytes to which places are relative. */
  readonly base: number
}

export interface Outcome {
  readonly texts: number
  /** Number of lines with only white space. */
  readonly blank: number
  /** False when the bytes are not JSON in this form. Always true for lines, even if some lines are malformed. */
  readonly isSound: boolean
}

/** The members that {@link Scanner.fill} adds to texts. */
export interface Filling {
  /**
   * Number of the name → member: `"source":"millrace",`. For `counted`, only the part before the number: `"id":"a-`.
   */
  readonly members: ReadonlyMap<number, string>
  /** Texts with this name are complete. Default: no such name. */
  readonly whole?: number
  /** A name whose whole number is written as a string. Default: none. */
  readonly asText?: number
  /** A name whose value ends with a number that increases by one for each text. Default: none. */
  readonly counted?: number
  /** Marks of texts that `fill` leaves to `onOdd`. Texts with too many members always go there. Default: none. */
  readonly odd?: number
}

const PAGE_BYTES = 64 * 1024
/** Address of the tables of assembly/scanner.ts. */
const NAMES_AT = 1024
const SLOTS = 64
const SLOT_BYTES = 24
const DEFAULTS_AT = NAMES_AT + SLOTS * SLOT_BYTES
const FILLING_AT = DEFAULTS_AT + 16 * 8
/** assembly/scanner.ts reserves 2,048 bytes: for these members, a number, and quotes. */
const MAX_FILLING_BYTES = 1536
const TABLES_END = 8192
/** Zeros after the input, for reads of 16 bytes. */
const PADDING = 64
const CAPACITY_BYTES = 256 * 1024
const PLACES_BYTES = 512 * 1024
/** Extra room in the output, so that it holds the longest text with every added member. */
const FILL_BYTES = 4096
const NO_NAME = 31

interface Exports {
  layout(...places: number[]): void
  scanLines(from: number, to: number, keepsBlank: number): void
  scanOne(to: number): void
  countLines(to: number): number
  scanArray(from: number, to: number): void
  fill(
    head: number,
    texts: number,
    whole: number,
    wanted: number,
    asText: number,
    counted: number,
    counter: number,
    odd: number,
  ): number
}

let compiled: WebAssembly.Module | undefined

export class Scanner {
  readonly capacityBytes: number
  readonly #options: ScannerOptions
  readonly #exports: Exports
  readonly #bytes: Uint8Array
  readonly #input: number
  readonly #output: number
  readonly #outputEnd: number
  #large: WeakRef<Scanner> | undefined
  /** Result of the last scan or fill: four numbers, then places. */
  readonly #report: Int32Array

  /**
   * @param capacityBytes largest input for this scanner; for a larger one, it creates a larger scanner. Memory: four
   *   times that, as far as it is used.
   */
  constructor(options: ScannerOptions, capacityBytes = CAPACITY_BYTES) {
    const { names, maxDepth, nullable = [] } = options
    this.#options = options
    this.capacityBytes = capacityBytes
    this.#input = TABLES_END + capacityBytes + PADDING
    const places = this.#input + capacityBytes + PADDING
    this.#output = places + PLACES_BYTES
    this.#outputEnd = this.#output + capacityBytes + FILL_BYTES
    const memory = new WebAssembly.Memory({ initial: Math.ceil((this.#outputEnd + PADDING) / PAGE_BYTES) })
    compiled ??= new WebAssembly.Module(readFileSync(new URL('./scanner.wasm', import.meta.url)))
    this.#exports = new WebAssembly.Instance(compiled, { env: { memory } }).exports as unknown as Exports
    this.#bytes = new Uint8Array(memory.buffer)
    this.#report = new Int32Array(memory.buffer, places, PLACES_BYTES / 4)
    const bits = nullable.reduce((all, name) => all | (1 << name), 0)
    this.#exports.layout(TABLES_END, this.#input, places, this.#output, this.#output, this.#outputEnd, maxDepth, bits)
    for (const [number, name] of names.entries()) this.#learn(Buffer.from(name), number)
  }

  /**
   * @param visit called at least once for a sound input. For an input that is not sound, it may have got a part of it.
   */
  scan(bytes: Uint8Array, form: Form, visit: (scanned: Scanned) => void): Outcome {
    if (form === 'lines') return this.#scanLines(bytes, visit)
    if (bytes.length > this.capacityBytes) return this.#larger(bytes.length).scan(bytes, form, visit)
    this.#load(bytes)
    let texts = 0
    for (let from = 0; ; ) {
      if (form === 'one') this.#exports.scanOne(bytes.length)
      else this.#exports.scanArray(from, bytes.length)
      const [found = 0, next = 0, , isSound] = this.#report
      if (isSound !== 1) return { texts: 0, blank: 0, isSound: false }
      if (found > 0) visit({ places: this.#report, head: HEAD, texts: found, base: 0 })
      texts += found
      from = next
      if (from >= bytes.length) return { texts, blank: 0, isSound: true }
    }
  }

  /** Number of line breaks, including the one at the end. */
  countLines(bytes: Uint8Array): number {
    if (bytes.length > this.capacityBytes) return this.#larger(bytes.length).countLines(bytes)
    this.#load(bytes)
    return this.#exports.countLines(bytes.length)
  }

  /**
   * Adds missing members at the start of objects, one a line. Other bytes stay unchanged.
   * @param lines one JSON text a line.
   * @param counter number for the first text.
   * @param onLines gets complete lines, each ended by a newline, with their places; valid until it returns.
   * @param onOdd gets a text that is not an object or needs other changes, and its index.
   */
  fill(
    lines: Uint8Array,
    filling: Filling,
    counter: number,
    onLines: (lines: Uint8Array, scanned: Scanned) => void,
    onOdd: (line: Uint8Array, index: number) => void,
  ): number {
    let index = 0
    for (const chunk of this.#chunks(lines)) {
      if (chunk.length > this.capacityBytes) {
        const larger = this.#larger(chunk.length)
        const at = index
        index += larger.fill(chunk, filling, counter + at, onLines, (line, within) => onOdd(line, at + within))
        continue
      }
      this.#load(chunk)
      const wanted = this.#layFilling(filling)
      for (let from = 0; from < chunk.length; ) {
        this.#exports.scanLines(from, chunk.length, 1)
        const [texts = 0, next = 0] = this.#report
        from = next
        this.#fillTexts(texts, { wanted, filling, counter, index }, onLines, (line, within) =>
          onOdd(line, index + within),
        )
        index += texts
      }
    }
    return index
  }

  #fillTexts(
    texts: number,
    { wanted, filling, counter, index }: { wanted: number; filling: Filling; counter: number; index: number },
    onLines: (lines: Uint8Array, scanned: Scanned) => void,
    onOdd: (line: Uint8Array, index: number) => void,
  ): void {
    const { whole, asText = NO_NAME, counted = NO_NAME, odd = 0 } = filling
    const wholeBit = whole === undefined ? 0 : 1 << whole
    for (let done = 0, head = HEAD; done < texts; ) {
      const number = counter + index + done
      const bytes = this.#exports.fill(
        4 * head,
        texts - done,
        wholeBit,
        wanted,
        asText,
        counted,
        number,
        odd | Mark.TOO_MANY,
      )
      const [filled = 0, nextBytes = 0] = this.#report
      const out = this.#bytes.subarray(this.#output, this.#output + bytes)
      if (filled > 0) onLines(out, { places: this.#report, head, texts: filled, base: 0 })
      head = nextBytes / 4
      done += filled
      if (filled > 0 || done === texts) continue
      const places = this.#report
      onOdd(this.#bytes.subarray(this.#input + startOf(places, head), this.#input + endOf(places, head)), done)
      head = nextHead(places, head)
      done += 1
    }
  }

  #scanLines(bytes: Uint8Array, visit: (scanned: Scanned) => void): Outcome {
    let base = 0
    let texts = 0
    let blank = 0
    for (const chunk of this.#chunks(bytes)) {
      if (chunk.length > this.capacityBytes) {
        const at = base
        const onLine = (scanned: Scanned) => visit({ ...scanned, base: at + scanned.base })
        const line = this.#larger(chunk.length).scan(chunk, 'lines', onLine)
        texts += line.texts
        blank += line.blank
      } else {
        this.#load(chunk)
        for (let from = 0; from < chunk.length; ) {
          this.#exports.scanLines(from, chunk.length, 0)
          const [found = 0, next = 0, empty = 0] = this.#report
          if (found > 0) visit({ places: this.#report, head: HEAD, texts: found, base })
          texts += found
          blank += empty
          from = next
        }
      }
      base += chunk.length
    }
    return { texts, blank, isSound: true }
  }

  /** Chunks of complete lines, as many as fit. A longer line is a chunk of its own. */
  *#chunks(bytes: Uint8Array): Generator<Uint8Array> {
    const NEWLINE = 0x0a
    for (let from = 0; from < bytes.length; ) {
      let to = bytes.length
      if (to - from > this.capacityBytes) {
        const last = bytes.lastIndexOf(NEWLINE, from + this.capacityBytes - 1)
        const found = last >= from ? last : bytes.indexOf(NEWLINE, from)
        to = found === -1 ? bytes.length : found + 1
      }
      yield from === 0 && to === bytes.length ? bytes : bytes.subarray(from, to)
      from = to
    }
  }

  #load(bytes: Uint8Array): void {
    const end = this.#input + bytes.length
    this.#bytes.set(bytes, this.#input)
    this.#bytes.fill(0, end, end + PADDING)
  }

  /** A larger scanner. It is held weakly, until its memory is needed: the next large input may come soon, or never. */
  #larger(bytes: number): Scanner {
    const last = this.#large?.deref()
    if (last !== undefined && last.capacityBytes >= bytes) return last
    const larger = new Scanner(this.#options, 2 ** Math.ceil(Math.log2(bytes)))
    this.#large = new WeakRef(larger)
    return larger
  }

  /** @returns the names to fill in, one bit each. */
  #layFilling({ members }: Filling): number {
    const table = new DataView(this.#bytes.buffer)
    let at = FILLING_AT
    let wanted = 0
    for (const [number, text] of members) {
      const bytes = Buffer.from(text)
      if (at + bytes.length > FILLING_AT + MAX_FILLING_BYTES) {
        throw new RangeError(`members of more than ${MAX_FILLING_BYTES} bytes`)
      }
      this.#bytes.set(bytes, at)
      table.setUint32(DEFAULTS_AT + 8 * number, at, true)
      table.setUint32(DEFAULTS_AT + 8 * number + 4, bytes.length, true)
      at += bytes.length
      wanted |= 1 << number
    }
    return wanted
  }

  #learn(name: Uint8Array, number: number): void {
    const table = new DataView(this.#bytes.buffer)
    const { length } = name
    if (number >= 16 || length < 1 || length > 15) throw new RangeError('names: at most 16, of 1 to 15 bytes')
    let slot = (length * 5 + (name[0] as number) * 3 + (name[length - 1] as number)) % SLOTS
    while (table.getUint32(NAMES_AT + slot * SLOT_BYTES + 16, true) !== 0) slot = (slot + 1) % SLOTS
    const at = NAMES_AT + slot * SLOT_BYTES
    this.#bytes.set(name, at)
    table.setUint32(at + 16, length, true)
    table.setUint32(at + 20, number, true)
  }
}
