/**
 * The events that were tracked and are not answered yet: bounded in memory, in order, as the bytes that requests send.
 *
 *     add(line) ─▶ page ─full, old, or flush─▶ sealed ─▶ waiting ─take()─▶ being sent ─▶ settle()
 *                                                │          ▲                 │
 *                                                ▼          └── putBack() ◀───┤
 *                                              store                          └─▶ replace() by smaller parts
 *
 * - Memory holds at most `maxEvents` and `maxBytes`. A waiting batch that the store has accepted leaves memory, and is
 *   read back when it is sent. A page has a fixed size and is reused, so a small batch is only as large as its events.
 * - A sealed batch may be sent in parts. Its origin is settled, and removed from the store, with the last part.
 * - Without a store, an old page stays open while other batches wait before it: it could not be sent sooner anyway.
 */
import { LineBuffer, lineOf } from './line-buffer.ts'
import type { Body, Store, StoredBatch } from './store.ts'

export interface QueueOptions {
  readonly maxEvents: number
  readonly maxBytes: number
  readonly maxBatchEvents: number
  readonly maxBatchBytes: number
  /** How long an event waits for more events, milliseconds. */
  readonly maxBatchAgeMs: number
  readonly store: Store | undefined
  /** Called when `take` may return a part. */
  readonly onReady: () => void
  readonly onStoreFailure: (error: unknown) => void
}

/** A sealed batch, which may be sent in several parts. */
interface Origin {
  readonly number: number
  parts: number
  key?: unknown
}

/** The events of one request. */
export interface Part {
  readonly origin: Origin
  readonly events: number
  readonly bytes: number
  /** undefined while only the store has the body. */
  body: Body | undefined
  /** Whether the part counts against the limits of memory. */
  isInMemory: boolean
  /** Whether the part is the whole sealed batch. */
  readonly isWhole: boolean
}

interface Waiter {
  /** Origins up to this number. */
  readonly number: number
  readonly resolve: () => void
}

export class Queue {
  readonly #options: QueueOptions
  readonly #page: LineBuffer
  #isPageDue = false
  #timer: ReturnType<typeof setTimeout> | undefined
  readonly #waiting: Part[] = []
  /** Origins, in the order of their numbers. */
  readonly #origins = new Set<Origin>()
  #lastNumber = 0
  #waiters: Waiter[] = []
  #memory = { events: 0, bytes: 0 }
  #stored = { events: 0, bytes: 0 }
  /** Operations of the store, one after the other. */
  #storing: Promise<void> = Promise.resolve()

  constructor(options: QueueOptions) {
    this.#options = options
    this.#page = new LineBuffer(options.maxBatchBytes)
  }

  /** Events that are tracked and not answered, in memory and in the store. */
  get events(): number {
    return this.#memory.events + this.#stored.events
  }

  get bytes(): number {
    return this.#memory.bytes + this.#stored.bytes
  }

  get memoryBytes(): number {
    return this.#memory.bytes
  }

  /** Adds the batches that an earlier run left in the store. @returns how many events. */
  async restore(): Promise<number> {
    const loading = this.#load()
    this.#storing = loading.then(() => undefined)
    const parts = (await loading).map(({ key, events, bytes }): Part => {
      this.#stored.events += events
      this.#stored.bytes += bytes
      return { origin: this.#newOrigin(key), events, bytes, body: undefined, isInMemory: false, isWhole: true }
    })
    this.#waiting.unshift(...parts)
    return parts.reduce((sum, { events }) => sum + events, 0)
  }

  /** @param line one event without its newline. */
  add(line: string): 'queued' | 'full' | 'too-large' {
    const { maxEvents, maxBytes, maxBatchEvents } = this.#options
    if (this.#memory.events >= maxEvents) return 'full'
    let bytes = this.#page.write(line)
    if (bytes === undefined && this.#page.lines > 0) {
      this.#seal()
      bytes = this.#page.write(line)
    }
    const alone = bytes === undefined ? lineOf(line) : undefined
    const size = alone?.length ?? bytes ?? 0
    if (size > maxBytes) return 'too-large'
    if (this.#memory.bytes + size > maxBytes) return 'full'
    this.#memory.events += 1
    this.#memory.bytes += size
    if (alone) this.#append(alone, 1)
    else {
      this.#page.keep(size)
      if (this.#page.lines === 1) this.#timer = setTimeout(() => this.#age(), this.#options.maxBatchAgeMs)
      if (this.#page.lines === maxBatchEvents) this.#seal()
    }
    return 'queued'
  }

  /** The next part to send. The caller must settle it, replace it or put it back. */
  take(): Part | undefined {
    if (this.#waiting.length === 0 && this.#isPageDue) this.#seal()
    return this.#waiting.shift()
  }

  /** @throws errors of the store when it cannot read a batch. */
  async bodyOf(part: Part): Promise<Body> {
    part.body ??= await this.#options.store?.read(part.origin.key)
    if (part.body === undefined) throw new Error('a batch that is not in memory needs a store')
    return part.body
  }

  /** Puts a part back at the front: it was not sent, or not answered. */
  putBack(part: Part): void {
    // The store has only whole batches, so the body of a part must stay in memory.
    if (!part.isInMemory && part.isWhole) part.body = undefined
    this.#waiting.unshift(part)
  }

  /**
   * Replaces a part by these bodies, which are sent first. Each has some of its events; all other events are settled.
   */
  replace(part: Part, bodies: readonly { readonly body: Body; readonly events: number }[]): void {
    const count = this.#countOf(part)
    part.origin.parts += bodies.length
    const parts = bodies.map(({ body, events }): Part => {
      count.events += events
      count.bytes += body.length
      return { origin: part.origin, events, bytes: body.length, body, isInMemory: part.isInMemory, isWhole: false }
    })
    this.#waiting.unshift(...parts)
    this.settle(part)
  }

  /** Ends a part: it was answered or given up. */
  settle(part: Part): void {
    const count = this.#countOf(part)
    count.events -= part.events
    count.bytes -= part.bytes
    const { origin } = part
    origin.parts -= 1
    if (origin.parts > 0) return
    this.#origins.delete(origin)
    this.#forget(origin)
    this.#answerWaiters()
  }

  /** Seals the page, and resolves once all events added so far are settled. */
  flush(): Promise<void> {
    this.sealPage()
    return new Promise((resolve) => {
      this.#waiters.push({ number: this.#lastNumber, resolve })
      this.#answerWaiters()
    })
  }

  sealPage(): void {
    if (this.#page.lines > 0) this.#seal()
  }

  /** Removes the batches that are only in memory, and closes the store. @returns their bodies, which are lost. */
  async close(): Promise<readonly Body[]> {
    this.sealPage()
    await this.#storing
    const lost = this.#waiting.filter(({ origin }) => origin.key === undefined)
    for (const part of lost) this.settle(part)
    await this.#storing
    await this.#options.store?.close()
    return lost.flatMap(({ body }) => body ?? [])
  }

  #age(): void {
    this.#isPageDue = true
    if (this.#options.store) this.#seal()
    else this.#options.onReady()
  }

  #seal(): void {
    const events = this.#page.lines
    clearTimeout(this.#timer)
    this.#isPageDue = false
    this.#append(this.#page.take(), events)
  }

  #append(body: Body, events: number): void {
    const part: Part = { origin: this.#newOrigin(), events, bytes: body.length, body, isInMemory: true, isWhole: true }
    this.#waiting.push(part)
    this.#options.onReady()
    this.#keep(part, body)
  }

  #newOrigin(key?: unknown): Origin {
    this.#lastNumber += 1
    const origin: Origin = { number: this.#lastNumber, parts: 1, key }
    this.#origins.add(origin)
    return origin
  }

  #keep(part: Part, body: Body): void {
    const { store, onStoreFailure } = this.#options
    if (!store) return
    const { origin, events } = part
    this.#storing = this.#storing.then(async () => {
      if (origin.parts === 0) return // already answered
      try {
        origin.key = await store.add(body, events)
      } catch (error) {
        return onStoreFailure(error)
      }
      if (origin.parts === 0) await this.#remove(origin.key)
      else if (this.#waiting.includes(part)) this.#leaveMemory(part)
    })
  }

  async #load(): Promise<readonly StoredBatch[]> {
    try {
      return (await this.#options.store?.load()) ?? []
    } catch (error) {
      this.#options.onStoreFailure(error)
      return []
    }
  }

  #leaveMemory(part: Part): void {
    part.body = undefined
    part.isInMemory = false
    this.#memory.events -= part.events
    this.#memory.bytes -= part.bytes
    this.#stored.events += part.events
    this.#stored.bytes += part.bytes
  }

  #countOf({ isInMemory }: Part): { events: number; bytes: number } {
    return isInMemory ? this.#memory : this.#stored
  }

  #forget({ key }: Origin): void {
    if (key !== undefined) this.#storing = this.#storing.then(() => this.#remove(key))
  }

  async #remove(key: unknown): Promise<void> {
    try {
      await this.#options.store?.remove(key)
    } catch (error) {
      this.#options.onStoreFailure(error)
    }
  }

  #answerWaiters(): void {
    if (this.#waiters.length === 0) return
    const [oldest] = this.#origins
    const isSettled = ({ number }: Waiter) => oldest === undefined || oldest.number > number
    for (const waiter of this.#waiters) if (isSettled(waiter)) waiter.resolve()
    this.#waiters = this.#waiters.filter((waiter) => !isSettled(waiter))
  }
}
