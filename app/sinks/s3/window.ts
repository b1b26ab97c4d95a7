/**
 * A window: a range of one log's offsets, written together as objects, one for each type and hour of arrival.
 *
 *     item ─▶ line of its object ─(128 KiB)─▶ compressed member ─▶ … ─seal─▶ key and bytes
 *
 * Only the content of an object decides where its members end, so the same events give the same bytes. Every reader
 * treats a file of several members as one file (RFC 1952, section 2.2; RFC 8878, section 3.1).
 */
import { createHash } from 'node:crypto'
import { promisify } from 'node:util'
import { gunzip, gzip, zstdCompress, zstdDecompress } from 'node:zlib'
import { type Item, itemOf, linesOf } from '../../event/item.ts'

export type Compression = 'gzip' | 'zstd'

export interface WindowOptions {
  readonly logId: string
  /** Name of the sink. The names of objects begin with it. */
  readonly consumer: string
  readonly compression: Compression
}

export interface SealedObject {
  /** Key without the prefix. */
  readonly key: string
  readonly bytes: Buffer
  /** The events of the object, read from its bytes. */
  items(): Promise<Item[]>
}

const CODECS = {
  gzip: { extension: 'gz', compress: promisify<Buffer, Buffer>(gzip), expand: promisify<Buffer, Buffer>(gunzip) },
  zstd: {
    extension: 'zst',
    compress: promisify<Buffer, Buffer>(zstdCompress),
    expand: promisify<Buffer, Buffer>(zstdDecompress),
  },
} as const

/** Raw bytes in one compressed member, and so the most that an object keeps uncompressed. */
const MEMBER_BYTES = 128 * 1024
/** Limit of one part of a key, between two slashes, in stores that keep objects as files. */
const MAX_SEGMENT_BYTES = 255
const TYPE_PREFIX = 'type='

interface OpenObject {
  readonly directory: string
  readonly firstOffset: number
  /** Offset of each event. */
  readonly offsets: number[]
  /** Data that is not compressed yet: lines, then events of the current batch. `rawBytes`: the length of both. */
  raw: Buffer[]
  gathered: Item[]
  rawBytes: number
  readonly members: Promise<Buffer>[]
}

export class Window {
  readonly firstOffset: number
  /** Offset after the last event. */
  endOffset: number
  /** Where the same window ended when it was written before; infinite for a new window. */
  readonly repeatsTo: number
  events = 0
  /** Resolves when the events of the window are durable. */
  readonly written = Promise.withResolvers<void>()
  #next: Window | undefined
  readonly #options: WindowOptions
  readonly #objects = new Map<string, OpenObject>()
  /** Type → its object of the hour of `#appendedAtMs`. */
  #ofThisHour = new Map<string, OpenObject>()
  #appendedAtMs = Number.NaN
  #hour = ''
  #rawBytes = 0
  #compressedBytes = 0
  #sealed: SealedObject[] | undefined
  /** Start of its age: its first event; for a repeat, whose end is known, its last event. */
  #sinceMs = performance.now()

  constructor(options: WindowOptions, firstOffset: number, repeatsTo = Number.POSITIVE_INFINITY) {
    this.#options = options
    this.firstOffset = firstOffset
    this.endOffset = firstOffset
    this.repeatsTo = repeatsTo
  }

  get logId(): string {
    return this.#options.logId
  }

  get isRepeat(): boolean {
    return this.repeatsTo < Number.POSITIVE_INFINITY
  }

  isOlderThan(ms: number): boolean {
    return performance.now() - this.#sinceMs >= ms
  }

  get objectCount(): number {
    return this.#objects.size
  }

  /**
   * Settles this window together with `next`, which holds the rest of its last batch. Otherwise the earlier batches
   * could be committed alone, and a process that starts there would end the rest of this window at another offset.
   */
  waitFor(next: Window): void {
    this.#next = next
    next.written.promise.then(() => this.written.resolve())
  }

  /** Call when the window is in the store. */
  resolve(): void {
    if (this.#next === undefined) this.written.resolve()
  }

  /** Approximate memory of the window. */
  get heldBytes(): number {
    return this.#rawBytes + this.#compressedBytes
  }

  add(item: Item): void {
    const { offset, lineBytes: bytes } = item
    const object = this.#objectFor(item)
    object.gathered.push(item)
    object.rawBytes += bytes
    object.offsets.push(offset)
    this.#rawBytes += bytes
    if (object.rawBytes >= MEMBER_BYTES) this.#compress(object)
    this.events += 1
    this.endOffset = Math.max(this.endOffset, offset + 1)
    if (this.isRepeat) this.#sinceMs = performance.now()
  }

  /** Call after the last event of a batch. It copies lines, so that they do not keep the buffer they were read with. */
  keepLines(): void {
    for (const object of this.#objects.values()) {
      if (object.gathered.length > 0) object.raw.push(Buffer.concat(linesOf(object.gathered)))
      object.gathered = []
    }
  }

  /**
   * Selects by time of arrival, which only increases: a past hour gets no more events. Senders cannot choose the hour.
   */
  #objectFor({ appendedAtMs, type, offset }: Item): OpenObject {
    if (appendedAtMs !== this.#appendedAtMs) {
      const hour = new Date(appendedAtMs).toISOString().slice(0, 13)
      if (hour !== this.#hour) this.#ofThisHour = new Map()
      this.#appendedAtMs = appendedAtMs
      this.#hour = hour
    }
    const known = this.#ofThisHour.get(type)
    if (known !== undefined) return known
    const [date, hour] = this.#hour.split('T')
    const directory = `${TYPE_PREFIX}${encodeType(type)}/dt=${date}/hh=${hour}`
    const object = this.#objects.get(directory) ?? {
      directory,
      firstOffset: offset,
      offsets: [],
      raw: [],
      gathered: [],
      rawBytes: 0,
      members: [],
    }
    this.#objects.set(directory, object)
    this.#ofThisHour.set(type, object)
    return object
  }

  /** Compresses the rest. Nothing may be added afterwards. */
  async seal(): Promise<readonly SealedObject[]> {
    this.#sealed ??= await Promise.all(Array.from(this.#objects.values(), (object) => this.#sealObject(object)))
    return this.#sealed
  }

  async #sealObject(object: OpenObject): Promise<SealedObject> {
    const { logId, consumer, compression } = this.#options
    if (object.rawBytes > 0) this.#compress(object)
    const { extension, expand } = CODECS[compression]
    const { directory, firstOffset, offsets } = object
    const members = await Promise.all(object.members)
    const items = async () => {
      const lines = (await Promise.all(members.map((member) => expand(member)))).join('').trimEnd().split('\n')
      const originOf = (at: number) => ({ logId, baseOffset: offsets[at] ?? firstOffset, appendedAtMs: 0 })
      return lines.map((line, at) => itemOf(Buffer.from(line), originOf(at)))
    }
    const name = `${consumer}.${logId}-${firstOffset}-${offsets.length}.ndjson.${extension}`
    return { key: `${directory}/${name}`, bytes: Buffer.concat(members), items }
  }

  #compress(object: OpenObject): void {
    const length = object.rawBytes
    const lines = Buffer.concat([...object.raw, ...linesOf(object.gathered)])
    const member = CODECS[this.#options.compression].compress(lines)
    object.raw = []
    object.gathered = []
    object.rawBytes = 0
    object.members.push(member)
    member.then((bytes) => {
      this.#rawBytes -= length
      this.#compressedBytes += bytes.length
    })
  }
}

/**
 * Escapes a type as Hive does, which Athena and DuckDB decode. A type that is too long keeps its first characters and
 * gets a digest. It may hold invalid text, because a handler can set any type.
 */
export function encodeType(type: string): string {
  const text = String(type).toWellFormed()
  const encoded = encodeURIComponent(text)
  const maxLength = MAX_SEGMENT_BYTES - TYPE_PREFIX.length
  if (encoded.length <= maxLength) return encoded
  const digest = `~${createHash('sha256').update(text).digest('hex').slice(0, 16)}`
  let beginning = ''
  for (const character of text) {
    const next = beginning + encodeURIComponent(character)
    if (next.length + digest.length > maxLength) break
    beginning = next
  }
  return beginning + digest
}
