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
import { gzip, zstdCompress } from 'node:zlib'
import type { Item } from '../sink.ts'

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
}

const CODECS = {
  gzip: { extension: 'gz', compress: promisify<Buffer, Buffer>(gzip) },
  zstd: { extension: 'zst', compress: promisify<Buffer, Buffer>(zstdCompress) },
} as const

/** Raw: what a compressed member holds, and what an object keeps uncompressed at most. */
const MEMBER_CHARACTERS = 128 * 1024
/** Of a type in a key; S3 keys end at 1,024 bytes. */
const MAX_TYPE_CHARACTERS = 256

interface OpenObject {
  readonly directory: string
  readonly firstOffset: number
  events: number
  text: string
  readonly members: Promise<Buffer>[]
}

export class Window {
  readonly firstOffset: number
  /** Behind the last event. */
  endOffset: number
  /** Where the same window ended when it was written before; infinite for a new one. */
  readonly repeatsTo: number
  events = 0
  /** Resolved by who writes it. */
  readonly written = Promise.withResolvers<void>()
  readonly #options: WindowOptions
  readonly #objects = new Map<string, OpenObject>()
  #rawCharacters = 0
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

  /** What it takes in memory, about. */
  get heldBytes(): number {
    return this.#rawCharacters + this.#compressedBytes
  }

  add({ event, offset, appendedAtMs }: Item): void {
    // By arrival, which only moves on: an hour that is over gets nothing new, and no sender's clock makes a directory.
    const hour = new Date(appendedAtMs).toISOString()
    const directory = `type=${encodeType(event.type)}/dt=${hour.slice(0, 10)}/hh=${hour.slice(11, 13)}`
    let object = this.#objects.get(directory)
    if (object === undefined) {
      object = { directory, firstOffset: offset, events: 0, text: '', members: [] }
      this.#objects.set(directory, object)
    }
    const line = `${JSON.stringify(event)}\n`
    object.text += line
    object.events += 1
    this.#rawCharacters += line.length
    if (object.text.length >= MEMBER_CHARACTERS) this.#compress(object)
    this.events += 1
    this.endOffset = Math.max(this.endOffset, offset + 1)
    if (this.isRepeat) this.#sinceMs = performance.now()
  }

  /** Compresses what is left; nothing is added afterwards. */
  async seal(): Promise<readonly SealedObject[]> {
    this.#sealed ??= await Promise.all(Array.from(this.#objects.values(), (object) => this.#sealObject(object)))
    return this.#sealed
  }

  async #sealObject(object: OpenObject): Promise<SealedObject> {
    const { logId, consumer, compression } = this.#options
    if (object.text !== '') this.#compress(object)
    const name = `${consumer}.${logId}-${object.firstOffset}-${object.events}.ndjson.${CODECS[compression].extension}`
    return { key: `${object.directory}/${name}`, bytes: Buffer.concat(await Promise.all(object.members)) }
  }

  #compress(object: OpenObject): void {
    const { length } = object.text
    const member = CODECS[this.#options.compression].compress(Buffer.from(object.text))
    object.text = ''
    object.members.push(member)
    member.then((bytes) => {
      this.#rawCharacters -= length
      this.#compressedBytes += bytes.length
    })
  }
}

/** Escaped as Hive does it, which Athena and DuckDB undo; what is too long keeps its beginning and gets a digest. */
function encodeType(type: string): string {
  const encoded = encodeURIComponent(type)
  if (encoded.length <= MAX_TYPE_CHARACTERS) return encoded
  const digest = createHash('sha256').update(type).digest('hex').slice(0, 16)
  return `${encoded.slice(0, MAX_TYPE_CHARACTERS - 20).replace(/%[\dA-F]?$/, '')}~${digest}`
}
