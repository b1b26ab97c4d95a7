/**
 * The s3 sink: complete CloudEvents as compressed NDJSON, in objects that Athena and DuckDB read as a partitioned table.
 *
 *     <prefix>type=order.created/dt=2026-01-31/hh=12/s3.<log>-<first offset>-<events>.ndjson.gz
 *
 *     write ─▶ window (one a log) ─(full, old, flush)─▶ its cuts ─▶ objects ─▶ durable
 *
 * What is gathered is cut where time and traffic happen to cut it, and after a crash they would cut elsewhere: the same
 * events in two objects. So the cuts of a log are written first, `<prefix>_millrace/s3.<log>.json`; a process that
 * begins before the last of them cuts at the same places, and writes the same keys with the same bytes again.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { messageOf } from '../../errors.ts'
import { type Item, type Sink, type SinkBatch, SinkUnavailable } from '../sink.ts'
import { Bucket, type BucketOptions, isAboutTheObject } from './bucket.ts'
import { type Compression, type SealedObject, Window } from './window.ts'

export interface S3SinkOptions extends BucketOptions {
  /** In the names of objects, and in warnings. */
  readonly name: string
  /** Before every key; empty, or ended by a slash. */
  readonly prefix: string
  readonly compression: Compression
  /** Bytes in memory, compressed ones and those about to be, at which what is gathered becomes objects. */
  readonly rollBytes: number
  readonly rollEvents: number
  /** Age of what is gathered, milliseconds. */
  readonly rollMs: number
  /** Wait after the `attempt`th failure to write objects, milliseconds. */
  readonly backoffMs: (attempt: number) => number
  readonly onWarning: (message: string) => void
}

const MAX_BATCH_EVENTS = 1024
/** Types come from outside: at so many, what is gathered becomes objects, however small. */
const MAX_OBJECTS = 256
/** Kept of each log: more than are ever written before their offset is committed. */
const MAX_CUTS = 1000
/** Requests at once. */
const UPLOADS = 8
const CHECK_AGE_MS = 1000

export class S3Sink implements Sink {
  readonly concurrency = 1
  readonly maxBatchEvents = MAX_BATCH_EVENTS
  failure: string | undefined
  onRefused: Sink['onRefused']
  readonly #options: S3SinkOptions
  readonly #bucket: Bucket
  /** What is gathered, by log. */
  readonly #windows = new Map<string, Window>()
  /** Of each log seen, where it was cut so far: offsets, rising. */
  readonly #cuts = new Map<string, number[]>()
  /** Windows are written in the order they were closed; resolves when the last of them is. Never rejects. */
  #written: Promise<void> = Promise.resolve()
  #unwritten = 0
  readonly #timer: NodeJS.Timeout
  readonly #stop = new AbortController()

  constructor(options: S3SinkOptions) {
    this.#options = options
    this.#bucket = new Bucket(options)
    this.#timer = setInterval(() => this.#rollIfDue(), Math.min(options.rollMs, CHECK_AGE_MS)).unref()
  }

  /** Gathers all of them, or throws and has gathered none. */
  async write({ items }: Pick<SinkBatch, 'items'>, signal: AbortSignal): Promise<undefined> {
    // While some is written more is gathered, once: that bounds the memory, and holds back who sends.
    while (this.#isFull() && this.#unwritten > 0) await unlessAborted(this.#written, signal)
    for (const { logId } of items) if (!this.#cuts.has(logId)) await this.#recall(logId, signal)
    for (const item of items) this.#gather(item)
    for (const window of this.#windows.values()) window.keepLines()
    this.#close((window) => window.endOffset >= window.repeatsTo)
    this.#rollIfDue()
    return undefined
  }

  async durable(): Promise<void> {
    await Promise.all([this.#written, ...Array.from(this.#windows.values(), (window) => window.written.promise)])
  }

  flush(): Promise<void> {
    this.#close(() => true)
    return this.#written
  }

  forget(logId: string): void {
    this.#cuts.delete(logId)
    this.#windows.get(logId)?.written.resolve()
    this.#windows.delete(logId)
  }

  async close(): Promise<void> {
    clearInterval(this.#timer)
    this.#stop.abort()
    this.#bucket.close()
  }

  #gather(item: Item): void {
    const { logId, offset } = item
    let window = this.#windows.get(logId)
    let ended: Window | undefined
    if (window !== undefined && offset >= window.repeatsTo) {
      ended = window
      this.#close((one) => one === ended)
      window = undefined
    }
    if (window === undefined) {
      const cuts = this.#cuts.get(logId) ?? []
      const at = cuts.findIndex((cut) => cut > offset)
      const repeatsTo = at > 0 ? cuts[at] : undefined
      window = new Window(
        { logId, consumer: this.#options.name, compression: this.#options.compression },
        offset,
        repeatsTo,
      )
      this.#windows.set(logId, window)
      ended?.waitFor(window)
    }
    window.add(item)
  }

  #isFull(): boolean {
    const { rollBytes, rollEvents } = this.#options
    let [bytes, events, objects] = [0, 0, 0]
    for (const window of this.#windows.values()) {
      bytes += window.heldBytes
      events += window.events
      objects += window.objectCount
    }
    return bytes >= rollBytes || events >= rollEvents || objects >= MAX_OBJECTS
  }

  /**
   * All windows at once: events of one log do not wait for the age of another. A repeat goes on to its end, unless it
   * does not come: it is as large as it was before, and was more than the limits then by what came with its last batch.
   */
  #rollIfDue(): void {
    if (this.#unwritten > 0) return
    const isOld = (window: Window) => window.isOlderThan(this.#options.rollMs)
    if (!(this.#isFull() || [...this.#windows.values()].some(isOld))) return
    this.#close((window) => !window.isRepeat || isOld(window))
  }

  #close(which: (window: Window) => boolean): void {
    const windows = [...this.#windows.values()].filter(which)
    if (windows.length === 0) return
    for (const { logId } of windows) this.#windows.delete(logId)
    this.#unwritten += 1
    this.#written = this.#written.then(async () => {
      await this.#writeUntilDone(windows)
      this.#unwritten -= 1
      for (const window of windows) window.resolve()
    })
  }

  async #writeUntilDone(windows: readonly Window[]): Promise<void> {
    const { name, backoffMs, onWarning } = this.#options
    const { signal } = this.#stop
    const done = new Set<SealedObject>()
    for (let attempt = 1; ; attempt++) {
      try {
        await this.#write(windows, done)
        if (this.failure !== undefined) onWarning(`sink ${name} works again`)
        this.failure = undefined
        return
      } catch (error) {
        // Never said to be durable: the next start delivers it again.
        if (signal.aborted) return new Promise(() => undefined)
        const failure = `cannot write to bucket ${this.#bucket.name} (${messageOf(error)})`
        if (this.failure === undefined) onWarning(`sink ${name} fails, its events wait in the log: ${failure}`)
        this.failure = failure
        await sleep(backoffMs(attempt), undefined, { signal }).catch(() => undefined)
      }
    }
  }

  /** @param done objects that are written, or refused: not tried again with the others. */
  async #write(windows: readonly Window[], done: Set<SealedObject>): Promise<void> {
    const { prefix } = this.#options
    const { signal } = this.#stop
    await Promise.all(windows.filter(({ isRepeat }) => !isRepeat).map((window) => this.#writeCuts(window)))
    const objects: SealedObject[] = []
    for (const window of windows) objects.push(...(await window.seal()))
    const waiting = objects.filter((object) => !done.has(object)).values()
    const upload = async () => {
      for (const object of waiting) {
        try {
          await this.#bucket.put(prefix + object.key, object.bytes, 'application/x-ndjson', signal)
        } catch (error) {
          // The cuts were written before: the store takes others.
          if (!isAboutTheObject(error) || this.onRefused === undefined) throw error
          await this.#refuse(object, `${prefix}${object.key} is refused: ${error.name}, ${error.message}`)
        }
        done.add(object)
      }
    }
    await Promise.all(Array.from({ length: Math.min(UPLOADS, objects.length) }, upload))
  }

  async #refuse(object: SealedObject, reason: string): Promise<void> {
    const items = await object.items()
    await this.onRefused?.(items.map((item) => ({ item, reason })))
  }

  async #writeCuts({ logId, firstOffset, endOffset }: Window): Promise<void> {
    const before = (this.#cuts.get(logId) ?? []).filter((cut) => cut < firstOffset)
    const cuts = [...before, firstOffset, endOffset].slice(-MAX_CUTS)
    const text = JSON.stringify({ cuts })
    await this.#bucket.put(this.#cutsKey(logId), Buffer.from(text), 'application/json', this.#stop.signal)
    this.#cuts.set(logId, cuts)
  }

  async #recall(logId: string, signal: AbortSignal): Promise<void> {
    const key = this.#cutsKey(logId)
    try {
      const text = await this.#bucket.getOrPut(key, '{"cuts":[]}', AbortSignal.any([signal, this.#stop.signal]))
      const { cuts }: { cuts: number[] } = JSON.parse(text)
      this.#cuts.set(logId, cuts)
    } catch (cause) {
      throw new SinkUnavailable(`cannot read ${key} in bucket ${this.#bucket.name} (${messageOf(cause)})`, { cause })
    }
  }

  /** Beginning with _, so that no reader of the table takes it for data. */
  #cutsKey(logId: string): string {
    const { prefix, name } = this.#options
    return `${prefix}_millrace/${name}.${logId}.json`
  }
}

async function unlessAborted(promise: Promise<void>, signal: AbortSignal): Promise<void> {
  const { promise: aborted, reject } = Promise.withResolvers<never>()
  const abort = () => reject(signal.reason)
  signal.throwIfAborted()
  signal.addEventListener('abort', abort)
  try {
    await Promise.race([promise, aborted])
  } finally {
    signal.removeEventListener('abort', abort)
  }
}
