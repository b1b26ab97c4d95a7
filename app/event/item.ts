/**
 * Events for sinks: the bytes of several events in one block, and a view of each event.
 *
 *     Block: complete events, one a line ─▶ Item: one event; its properties are read from the bytes
 */
import type { Event } from '../event.ts'
import {
  firstMember,
  MEMBER_STEP,
  marksOf,
  nameOf,
  nextHead,
  type Places,
  startOf,
  valueAt,
  valueEnd,
} from '../json/scanner.ts'
import { memberOf, nameText, valueText } from './attributes.ts'
import { NUMBER, scanner } from './names.ts'

const NEWLINE = 0x0a

/** Where events were read. */
export interface BlockOrigin {
  /** The log that it was read from: a partition of the log, or a log of dead letters that are replayed. */
  readonly logId: string
  /** Offset of the first event; the others follow. */
  readonly baseOffset: number
  /** When they were appended there, milliseconds since the epoch. */
  readonly appendedAtMs: number
}

type Named = 'id' | 'source' | 'type' | 'subject' | 'time' | 'traceparent'

export class Block {
  readonly origin: BlockOrigin
  readonly count: number
  /** Length of the whole block, as read. */
  readonly bytes: number
  /** The lines, or a function that makes them; released once they are made. */
  #source: Buffer | (() => Buffer)
  #ends: Uint32Array | undefined
  #places: Places | undefined
  #heads: number[] = []

  /** @param lines complete events, each ended by a newline; or a function that makes them on first use. */
  constructor(origin: BlockOrigin, count: number, bytes: number, lines: Buffer | (() => Buffer)) {
    this.origin = origin
    this.count = count
    this.bytes = bytes
    this.#source = lines
  }

  get lines(): Buffer {
    if (typeof this.#source === 'function') this.#source = this.#source()
    return this.#source
  }

  /**
   * The lines of events `first` to `end` (exclusive), each with its newline. If that is the whole block, the bytes are
   * not scanned.
   */
  slice(first: number, end: number): Buffer {
    if (first === 0 && end === this.count) return this.lines
    return this.lines.subarray(this.#startOf(first), this.#startOf(end))
  }

  /** The line of one event, without its newline. */
  text(index: number): string {
    return this.lines.toString('utf8', this.#startOf(index), this.#startOf(index + 1) - 1)
  }

  /** Length of the line of one event, with its newline. */
  lineBytes(index: number): number {
    return this.#startOf(index + 1) - this.#startOf(index)
  }

  /** Start of the line of an event, which is the end of the previous line. */
  #startOf(index: number): number {
    if (index === 0) return 0
    this.#ends ??= endsOf(this.lines, this.count)
    return this.#ends[index - 1] as number
  }

  /** The places of all members. Scanned once, on first use. */
  get places(): Places {
    this.#places ??= this.#scan()
    return this.#places
  }

  headOf(index: number): number {
    void this.places
    return this.#heads[index] as number
  }

  #scan(): Places {
    const parts: Int32Array[] = []
    let length = 0
    scanner.scan(this.lines, 'lines', ({ places, head, texts, base }) => {
      let end = head
      for (let text = 0; text < texts; text++) {
        this.#heads.push(length + end - head)
        end = nextHead(places, end)
      }
      const part = places.slice(head, end)
      if (base > 0) moveBy(base, part, texts)
      parts.push(part)
      length += part.length
    })
    if (parts.length === 1) return parts[0] as Int32Array
    const all = new Int32Array(length)
    let at = 0
    for (const part of parts) {
      all.set(part, at)
      at += part.length
    }
    return all
  }
}

function endsOf(lines: Buffer, count: number): Uint32Array {
  const ends = new Uint32Array(count)
  for (let index = 0, from = 0; index < count; index++) {
    from = lines.indexOf(NEWLINE, from) + 1
    ends[index] = from
  }
  return ends
}

function moveBy(base: number, places: Places, texts: number): void {
  for (let text = 0, head = 0; text < texts; text++) {
    const next = nextHead(places, head)
    places[head] = startOf(places, head) + base
    places[head + 1] = (places[head + 1] as number) + base
    for (let member = firstMember(head); member < next; member += MEMBER_STEP) {
      for (let at = member + 1; at < member + MEMBER_STEP; at++) places[at] = (places[at] as number) + base
    }
    head = next
  }
}

/** One event of a block. Nothing is decoded before it is needed. */
export class Item {
  readonly block: Block
  readonly index: number
  #event: Event | undefined
  #text: string | undefined

  constructor(block: Block, index: number) {
    this.block = block
    this.index = index
  }

  get logId(): string {
    return this.block.origin.logId
  }

  /**
   * Its offset in the log, which stays the same when it is delivered again after a crash. Results of a handler have the
   * offset of their input.
   */
  get offset(): number {
    return this.block.origin.baseOffset + this.index
  }

  get appendedAtMs(): number {
    return this.block.origin.appendedAtMs
  }

  /** The complete CloudEvent as one line, without a newline. */
  get json(): Buffer {
    return this.block.slice(this.index, this.index + 1).subarray(0, -1)
  }

  /** Length of its line, with the newline. */
  get lineBytes(): number {
    return this.block.lineBytes(this.index)
  }

  /** Approximate size: its share of the block. */
  get bytes(): number {
    return Math.ceil(this.block.bytes / this.block.count)
  }

  get id(): string {
    return this.#read('id') ?? ''
  }
  get source(): string {
    return this.#read('source') ?? ''
  }
  get type(): string {
    return this.#read('type') ?? ''
  }
  get subject(): string | undefined {
    return this.#read('subject')
  }
  get time(): string | undefined {
    return this.#read('time')
  }
  get traceparent(): string | undefined {
    return this.#read('traceparent')
  }

  /** Events with the same key are delivered in the order in which they were accepted. */
  get key(): string {
    return this.subject ?? this.source
  }

  /** The JSON text of `data`, as received; undefined without data. */
  get data(): Buffer | undefined {
    const { block, index } = this
    const { lines, places } = block
    const head = block.headOf(index)
    if ((marksOf(places, head) & (1 << NUMBER.data)) === 0) return undefined
    const member = memberOf(places, head, NUMBER.data)
    return lines.subarray(valueAt(places, member), valueEnd(places, member))
  }

  /** Every member, in order: its name, the JSON text of its value, and whether it is an extension. */
  *members(): Generator<readonly [name: string, text: Buffer, isExtension: boolean]> {
    const { block, index } = this
    const { lines, places } = block
    const head = block.headOf(index)
    for (let member = firstMember(head); member < nextHead(places, head); member += MEMBER_STEP) {
      const text = lines.subarray(valueAt(places, member), valueEnd(places, member))
      const isExtension = nameOf(places, member) >= NUMBER.traceparent // OTHER_NAME, of all other names, is larger
      yield [nameText(lines, 0, places, member), text, isExtension]
    }
  }

  /** {@link json} as a string, decoded once, for uses that parse it anyway. */
  get text(): string {
    this.#text ??= this.block.text(this.index)
    return this.#text
  }

  /** The parsed event, parsed once: for handlers, and for filters that use more than the type. */
  get event(): Event {
    this.#event ??= this.parse()
    return this.#event
  }

  /** Parses the event again, because a handler may have changed {@link event}. */
  parse(): Event {
    return JSON.parse(this.text)
  }

  #read(name: Named): string | undefined {
    const { block, index } = this
    const { lines, places } = block
    const head = block.headOf(index)
    if ((marksOf(places, head) & (1 << NUMBER[name])) === 0) return undefined
    return valueText(lines, 0, places, memberOf(places, head, NUMBER[name]))
  }
}

/** A block of one event. @param line complete, without a newline. */
export function itemOf(line: Buffer, origin: BlockOrigin): Item {
  const lines = Buffer.allocUnsafe(line.length + 1)
  lines.set(line)
  lines[line.length] = NEWLINE
  return new Item(new Block(origin, 1, lines.length, lines), 0)
}

/** The lines of items, each ended by a newline. Consecutive items of a block share its bytes, without a copy. */
export function linesOf(items: readonly Item[]): Buffer[] {
  const runs: Buffer[] = []
  for (let at = 0; at < items.length; ) {
    const { block, index } = items[at] as Item
    let last = index
    for (at += 1; items[at]?.block === block && items[at]?.index === last + 1; at += 1) last += 1
    runs.push(block.slice(index, last + 1))
  }
  return runs
}
