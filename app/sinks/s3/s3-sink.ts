/**
 * The s3 sink: complete CloudEvents as compressed NDJSON, in objects that Athena and DuckDB read as a partitioned
 * table.
 *
 *     <prefix>type=order.created/dt=2026-01-31/hh=12/s3.<log>-<first offset>-<events>.ndjson.gz
 *
 *     write ─▶ window (one a log) ─(full, old, flush)─▶ its cuts ─▶ objects ─▶ durable
 *
 * Time and traffic decide where a window ends, so after a crash windows would end at other offsets: the same event
 * would be in two objects. So the ends of a log's windows, its cuts, are written first, to
 * `<prefix>_millrace/s3.<log>.json`. A process that starts before the last cut uses the same cuts. It writes the same
 * keys with the same bytes again.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { messageOf } from '../../errors.ts'
import { type Item, type Sink, type SinkBatch, SinkUnavailable } from '../sink.ts'
import { Bucket, type BucketOptions, isAboutTheObject } from './bucket.ts'
import { type Compression, type SealedObject, Window } from './window.ts'

export interface S3SinkOptions extends BucketOptions {
  /** Name of the sink, used in the names of objects and in warnings. */
  readonly name: string
  /** Prefix of every key; empty, or ends with a slash. */
  readonly prefix: string
  readonly compression: Compression
  /** Bytes in memory (compressed, or waiting to be compressed) at which a window is written as objects. */
  readonly rollBytes: number
  readonly rollEvents: number
  /** Age at which a window is written, milliseconds. */
  readonly rollMs: number
  /** Delay after the `attempt`th failure to write objects, milliseconds. */
  readonly backoffMs: (attempt: number) => number
  readonly onWarning: (message: string) => void
}

const MAX_BATCH_EVENTS = 1024
/** Clients choose the types, so the number of objects in a window is bounded: at this number, the window is written. */
const MAX_OBJECTS = 256
/** Cuts kept for each log: more than can be written before their offset is committed. */
const MAX_CUTS = 1000
/** Concurrent uploads. */
const UPLOADS = 8
const CHECK_AGE_MS = 1000

export class S3Sink implements Sink {
  readonly concurrency = 1
  readonly maxBatchEvents = MAX_BATCH_EVENTS
  failure: string | undefined
  onRefused: Sink['onRefused']
  readonly #options: S3SinkOptions
  readonly #bucket: Bucket
  /** Log → its open window. */
  readonly #windows = new Map<string, Window>()
  /** Log → its cuts so far: offsets, ascending. */
  readonly #cuts = new Map<string, number[]>()
  /** Resolves when all closed windows are written. They are written in the order they were closed. Never rejects. */
  #written: Promise<void> = Promise.resolve()
  #unwritten = 0
  readonly #timer: NodeJS.Timeout
  readonly #stop = new AbortController()

  constructor(options: S3SinkOptions) {
    this.#options = options
    this.#bucket = new Bucket(options)
    this.#timer = setInterval(() => this.#rollIfDue(), Math.min(options.rollMs, CHECK_AGE_MS)).unref()
  }

  /** Adds all events to windows, or throws and adds none. */
  async write({ items }: Pick<SinkBatch, 'items'>, signal: AbortSignal): Promise<undefined> {
    // While windows are written, one more is filled. When it is full, the caller waits: that bounds the memory.
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
   * Closes all windows together, so that events of one log do not wait for the age of another. A repeated window may
   * exceed the limits, by as much as its last batch did the first time: it stays open until its known end, unless no
   * more events come.
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
        // It is never reported as durable, so the next start delivers its events again.
        if (signal.aborted) return new Promise(() => undefined)
        const failure = `cannot write to bucket ${this.#bucket.name} (${messageOf(error)})`
        if (this.failure === undefined) onWarning(`sink ${name} fails, its events wait in the log: ${failure}`)
        this.failure = failure
        await sleep(backoffMs(attempt), undefined, { signal }).catch(() => undefined)
      }
    }
  }

  /** @param done objects that are already written or refused: a retry skips them. */
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
          // The store accepted the cuts before this, so it is usable: only this object is refused.
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

  /** The key begins with _, so that readers of the table do not treat it as data. */
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
