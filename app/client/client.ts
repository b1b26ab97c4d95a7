/**
 * `millrace/client`: sends events from Node and from web pages, and never loses one silently. See docs/client.md.
 *
 *     track(event) ─▶ line of JSON ─▶ Queue ─▶ Sender ─▶ POST /v1/events
 *          │                           ▲ ▼                    │
 *          └─▶ onDropped (full, …)    Store                   └─▶ sent · again later · onRejected
 *
 * An event gets its id before it is first sent, so that a repeat is the same event for the service.
 * Invariant: tracked + restored = sent + rejected + dropped + queued.
 */
import type { Event } from '../event/cloud-event.ts'
import { eventsOf } from './lines.ts'
import { onConsole } from './notices.ts'
import { type ClientOptions, type DropReason, numbersOf, type TrackedEvent, targetOf } from './options.ts'
import { watchPage } from './page.ts'
import { Queue } from './queue.ts'
import { pause } from './retry.ts'
import { Sender } from './sender.ts'
import { uuidv7 } from './uuid.ts'

export type { Event } from '../event/cloud-event.ts'
export type { Problem, RejectedEvent } from './answer.ts'
export type { ClientOptions, DropReason, TrackedEvent } from './options.ts'
export type { Retry } from './sender.ts'
export type { Store, StoredBatch } from './store.ts'

/** Counts of events since the client was created. The queue counts show the present; `retries` counts requests. */
export interface ClientStats {
  /** Calls of `track`. */
  readonly tracked: number
  /** Left in the store by an earlier run. */
  readonly restored: number
  /** Acknowledged by the service. */
  readonly sent: number
  /** Those of them that the service had already. */
  readonly duplicates: number
  readonly rejected: number
  readonly dropped: number
  readonly queuedEvents: number
  readonly queuedBytes: number
  /** Those of them in memory. */
  readonly memoryBytes: number
  readonly retries: number
}

export interface Client {
  /**
   * Queues an event and returns at once; never throws. Missing attributes are filled in: `id` (a UUIDv7), `source`,
   * `type` (`event`), `time` (now), `traceparent`.
   * @returns the id; undefined when the event was dropped, and then `onDropped` is called.
   */
  track<Data>(event: TrackedEvent<Data>): string | undefined
  /**
   * Sends the events tracked so far, without waiting for more.
   * @param options.timeoutMs Default: no limit.
   * @returns whether all of them were answered in time; the others are still queued.
   */
  flush(options?: { readonly timeoutMs?: number }): Promise<boolean>
  /**
   * Accepts no more events, sends the queued ones, and ends. The next run sends events that are still in the store.
   * @param options.timeoutMs Default: 5000.
   * @returns whether every event was answered.
   */
  close(options?: { readonly timeoutMs?: number }): Promise<boolean>
  /** Cheap enough to read for every scrape of metrics. */
  readonly stats: ClientStats
}

/** Longest timer: a longer one fires at once, in Node and in browsers. */
const MAX_TIMEOUT_MS = 2 ** 31 - 1
const CLOSE_TIMEOUT_MS = 5000
const DEFAULT_SOURCE = 'millrace'
const DEFAULT_TYPE = 'event'

/** @throws TypeError or RangeError that names the option that is wrong. */
export function createClient(options: ClientOptions): Client {
  return new QueueingClient(options)
}

class QueueingClient implements Client {
  readonly #options: ClientOptions
  readonly #source: string
  readonly #queue: Queue
  readonly #sender: Sender
  readonly #unwatch: () => void
  readonly #ended = new AbortController()
  readonly #counts = { tracked: 0, restored: 0, sent: 0, duplicates: 0, rejected: 0, dropped: 0, retries: 0 }
  /** Time of the cached text: formatting it costs half as much as the rest of an event, and times repeat. */
  #nowMs = 0
  #now = ''
  #restored: Promise<void> = Promise.resolve()
  #closing: Promise<boolean> | undefined

  constructor(options: ClientOptions) {
    const { store, source = DEFAULT_SOURCE } = options
    const { maxQueueEvents: maxEvents, maxQueueBytes: maxBytes, ...numbers } = numbersOf(options)
    this.#options = { ...onConsole(), ...options }
    this.#source = source
    this.#queue = new Queue({
      ...{ ...numbers, maxEvents, maxBytes, store },
      onReady: () => this.#sender.wake(),
      onStoreFailure: (error) => this.#tell(this.#options.onStoreFailure, error),
    })
    this.#sender = new Sender({
      queue: this.#queue,
      target: targetOf(options, numbers.requestTimeoutMs),
      retry: { baseMs: numbers.retryBaseMs, maxMs: numbers.retryMaxMs },
      concurrency: numbers.concurrency,
      onSent: (events, duplicates) => {
        this.#counts.sent += events
        this.#counts.duplicates += duplicates
      },
      onRetry: (retry) => {
        this.#counts.retries += 1
        this.#tell(options.onRetry, retry)
      },
      onRejected: (events, problem) => {
        this.#counts.rejected += events.length
        this.#tell(this.#options.onRejected, events, problem)
      },
      onUnreadable: (events, error) => {
        this.#tell(this.#options.onStoreFailure, error)
        this.#drop([], 'unreadable', events)
      },
    })
    this.#unwatch = watchPage({ onLeave: () => this.#sender.leave(), onOnline: () => this.#sender.hurry() })
    if (store) this.#restored = this.#restore()
    else this.#sender.start()
  }

  get stats(): ClientStats {
    const { events: queuedEvents, bytes: queuedBytes, memoryBytes } = this.#queue
    return { ...this.#counts, queuedEvents, queuedBytes, memoryBytes }
  }

  track<Data>(event: TrackedEvent<Data>): string | undefined {
    this.#counts.tracked += 1
    if (this.#closing) return this.#drop([event], 'closed')
    let id: string
    let line: string | undefined
    try {
      if (typeof event !== 'object' || event === null || Array.isArray(event)) return this.#drop([event], 'invalid')
      const nowMs = Date.now()
      id = event.id ?? uuidv7(nowMs)
      line = JSON.stringify(this.#complete(event, id, nowMs))
    } catch {
      return this.#drop([event], 'invalid')
    }
    if (line === undefined) return this.#drop([event], 'invalid') // a `toJSON` that returns nothing
    const outcome = this.#queue.add(line)
    return outcome === 'queued' ? id : this.#drop([event], outcome)
  }

  async flush({ timeoutMs = MAX_TIMEOUT_MS }: { readonly timeoutMs?: number } = {}): Promise<boolean> {
    const over = new AbortController()
    const timeout = pause(Math.min(timeoutMs, MAX_TIMEOUT_MS), over.signal, this.#ended.signal).then(() => false)
    const isFlushed = await Promise.race([this.#flushAll(), timeout])
    over.abort()
    return isFlushed
  }

  close({ timeoutMs = CLOSE_TIMEOUT_MS }: { readonly timeoutMs?: number } = {}): Promise<boolean> {
    this.#closing ??= this.#close(timeoutMs)
    return this.#closing
  }

  async #close(timeoutMs: number): Promise<boolean> {
    const isFlushed = await this.flush({ timeoutMs })
    this.#ended.abort()
    this.#unwatch()
    await this.#sender.stop()
    for (const body of await this.#queue.close()) this.#drop(eventsOf(body), 'closed')
    return isFlushed
  }

  async #flushAll(): Promise<true> {
    this.#queue.sealPage()
    await this.#restored
    await this.#queue.flush()
    return true
  }

  async #restore(): Promise<void> {
    this.#counts.restored = await this.#queue.restore()
    if (!this.#ended.signal.aborted) this.#sender.start()
  }

  #complete<Data>(event: TrackedEvent<Data>, id: string, nowMs: number): Event {
    if (nowMs !== this.#nowMs) {
      this.#nowMs = nowMs
      this.#now = new Date(nowMs).toISOString()
    }
    return {
      ...event,
      specversion: '1.0',
      id,
      source: event.source ?? this.#source,
      type: event.type ?? DEFAULT_TYPE,
      time: event.time ?? this.#now,
      traceparent: event.traceparent ?? this.#options.traceparent?.(),
    }
  }

  #drop(events: readonly TrackedEvent[], reason: DropReason, count = events.length): undefined {
    this.#counts.dropped += count
    this.#tell(this.#options.onDropped, events, reason)
  }

  /** Runs a callback of the user. If it throws, the caller goes on. */
  #tell<Values extends readonly unknown[]>(hear: ((...values: Values) => void) | undefined, ...values: Values): void {
    try {
      hear?.(...values)
    } catch (error) {
      console.error('millrace/client: a callback threw', error)
    }
  }
}
