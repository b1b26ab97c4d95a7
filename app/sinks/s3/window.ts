/**
 * A window: a run of one log's offsets, written together as objects, one for each type and hour of arrival in it.
 *
 *     item ─▶ line of its object ─(128 KiB)─▶ compressed member ─▶ … ─seal─▶ key and bytes
 *
 * Members are cut by what the object holds and by nothing else, so the same events give the same bytes. A file of
 * several members is one to every reader (RFC 1952, section 2.2; RFC 8878, section 3.1).
 */
import { createHash } from 'node:crypto'
import { promisify } from 'node:util'
import { gunzip, gzip, zstdCompress, zstdDecompress } from 'node:zlib'
import { type Item, itemOf, linesOf } from '../../event/item.ts'

export type Compression = 'gzip' | 'zstd'

export interface WindowOptions {
  readonly logId: string
  /** The sink: begins the names of objects. */
  readonly consumer: string
  readonly compression: Compression
}

export interface SealedObject {
  /** Without a prefix. */
  readonly key: string
  readonly bytes: Buffer
  /** What is in it, read from its bytes. */
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

/** Raw: what a compressed member holds, and what an object keeps uncompressed at most. */
const MEMBER_BYTES = 128 * 1024
/** Of one part of a key, between two slashes: what stores that keep objects as files allow. */
const MAX_SEGMENT_BYTES = 255
const TYPE_PREFIX = 'type='

interface OpenObject {
  readonly directory: string
  readonly firstOffset: number
  /** Of each event. */
  readonly offsets: number[]
  /** What is not compressed yet: lines, and behind them events of the batch that is gathered; and how long all of it is. */
  raw: Buffer[]
  gathered: Item[]
  rawBytes: number
  readonly members: Promise<Buffer>[]
}

export class Window {
  readonly firstOffset: number
  /** Behind the last event. */
  endOffset: number
  /** Where the same window ended when it was written before; infinite for a new one. */
  readonly repeatsTo: number
  events = 0
  /** When its events are durable, for who settles them. */
  readonly written = Promise.withResolvers<void>()
  #next: Window | undefined
  readonly #options: WindowOptions
  readonly #objects = new Map<string, OpenObject>()
  /** Those of the hour of `#appendedAtMs`, by type. */
  #ofThisHour = new Map<string, OpenObject>()
  #appendedAtMs = Number.NaN
  #hour = ''
  #rawBytes = 0
  #compressedBytes = 0
  #sealed: SealedObject[] | undefined
  /** Since when it waits: its first event, or the last one of a repeat, which knows its end. */
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
   * Its end lies within a batch, whose rest is in `next`: its events are settled with that one. Settled before, the
   * batches in front of that one would be committed alone, and a process that begins there cuts the rest of this window
   * elsewhere.
   */
  waitFor(next: Window): void {
    this.#next = next
    next.written.promise.then(() => this.written.resolve())
  }

  /** It is in the store. */
  resolve(): void {
    if (this.#next === undefined) this.written.resolve()
  }

  /** What it takes in memory, about. */
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

  /** To be called behind the last one of a batch: an event would keep all that was read with it until it is compressed. */
  keepLines(): void {
    for (const object of this.#objects.values()) {
      if (object.gathered.length > 0) object.raw.push(Buffer.concat(linesOf(object.gathered)))
      object.gathered = []
    }
  }

  /** By arrival, which only moves on: an hour that is over gets nothing new, and no sender's clock makes a directory. */
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

  /** Compresses what is left; nothing is added afterwards. */
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
 * Escaped as Hive does it, which Athena and DuckDB undo; what is too long keeps its beginning, whole characters of it, and
 * gets a digest. A handler may give a type that is no valid text.
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
