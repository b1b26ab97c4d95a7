/**
 * The state that both ends of a channel share: the queue, the free room, and the waiters for room.
 *
 *     capacity = queued + reserved (permits) + free          the same for slots and for bytes, at every instant
 *
 * Freed room goes to the waiters strictly in order: a small waiter never overtakes a large one before it, so no waiter
 * starves. For the same reason, `trySend` is refused while there are waiters.
 */
import { MillraceError } from '../errors.ts'
import { RingBuffer } from './ring-buffer.ts'

/** `undefined` cannot be sent, because the receiver gets it at the end of the channel. */
export type Sendable = NonNullable<unknown> | null

export interface ChannelOptions<T> {
  /** Slots an item takes: an integer from 1 to the capacity, always the same for the same item. Default: 1. */
  readonly slots?: (value: T) => number
  /** Second hard bound, in bytes: an integer from 1. Default: none. */
  readonly maxBytes?: number
  /** Weight of an item in bytes: an integer from 0, always the same for the same item. Default: 0. */
  readonly bytes?: (value: T) => number
}

/** A waiter for room. `grant` is called when its room is already taken. */
interface Waiter {
  readonly slots: number
  readonly bytes: number
  readonly grant: () => void
  readonly refuse: () => void
  cancelled: boolean
}

const MAX_CAPACITY = 2 ** 30

export class ChannelState<T> {
  readonly capacity: number
  readonly maxBytes: number
  freeSlots: number
  freeBytes: number
  /** Slots held by permits and not sent yet. */
  reservedSlots = 0
  reservedBytes = 0
  /** Number of open senders and of permits that can still send. */
  senders = 1
  permits = 0
  receiverClosed = false
  readonly #queue = new RingBuffer<T>()
  readonly #slotsOf: ((value: T) => number) | undefined
  readonly #bytesOf: ((value: T) => number) | undefined
  readonly #waiters = new RingBuffer<Waiter>()
  /** Waiters that were not cancelled. */
  #waiting = 0
  #wakeReceiver: (() => void) | undefined
  /** How many items the receiver waits for. */
  #wanted = 1
  readonly closed = Promise.withResolvers<void>()

  constructor(capacity: number, { slots, bytes, maxBytes = Number.POSITIVE_INFINITY }: ChannelOptions<T>) {
    if (!Number.isInteger(capacity) || capacity < 1 || capacity > MAX_CAPACITY) {
      throw new RangeError(`capacity must be an integer from 1 to ${MAX_CAPACITY}, not ${capacity}`)
    }
    if (maxBytes !== Number.POSITIVE_INFINITY && !(Number.isSafeInteger(maxBytes) && maxBytes >= 1)) {
      throw new RangeError(`maxBytes must be a positive integer, not ${maxBytes}`)
    }
    this.capacity = this.freeSlots = capacity
    this.maxBytes = this.freeBytes = maxBytes
    this.#slotsOf = slots
    this.#bytesOf = bytes
  }

  get length(): number {
    return this.#queue.length
  }

  /** True when no item can arrive any more. */
  get isDrained(): boolean {
    return (
      this.#queue.length === 0 &&
      this.permits === 0 &&
      this.#waiting === 0 &&
      (this.receiverClosed || this.senders === 0)
    )
  }

  slotsOf(value: T): number {
    return this.#slotsOf === undefined ? 1 : this.#slotsOf(value)
  }

  bytesOf(value: T): number {
    return this.#bytesOf === undefined ? 0 : this.#bytesOf(value)
  }

  /**
   * Takes room at once, or reports that there is not enough.
   * @throws MillraceError CHANNEL_ITEM_TOO_LARGE when the item can never fit; RangeError if slots < 1 or bytes < 0.
   */
  tryTake(slots: number, bytes: number): boolean {
    // The common case first.
    if (slots <= this.freeSlots && bytes <= this.freeBytes && this.#waiting === 0 && slots >= 1 && bytes >= 0) {
      this.freeSlots -= slots
      this.freeBytes -= bytes
      return true
    }
    if (!(Number.isInteger(slots) && slots >= 1 && bytes >= 0)) {
      throw new RangeError(`an item must take at least 1 slot and 0 bytes, not ${slots} and ${bytes}`)
    }
    if (slots > this.capacity || bytes > this.maxBytes) {
      const size =
        slots > this.capacity
          ? `${slots} slots, the channel has ${this.capacity}`
          : `${bytes} bytes, the channel has ${this.maxBytes}`
      throw new MillraceError('CHANNEL_ITEM_TOO_LARGE', `the item needs ${size}: it can never be sent`)
    }
    return false
  }

  /** Queues up for room. `grant` runs with the room taken; `refuse` when the receiver closes first. */
  wait(slots: number, bytes: number, grant: () => void, refuse: () => void): Waiter {
    const waiter: Waiter = { slots, bytes, grant, refuse, cancelled: false }
    this.#waiters.push(waiter)
    this.#waiting += 1
    return waiter
  }

  /** Removes a waiter, as if it had never been there. */
  cancel(waiter: Waiter): void {
    if (waiter.cancelled) return
    waiter.cancelled = true
    this.#waiting -= 1
    // The others may have waited only behind this waiter.
    this.#grant()
    this.notify()
  }

  /** Queues an item whose room is already taken. */
  push(value: T): void {
    this.#queue.push(value)
    this.notify()
  }

  shift(): T | undefined {
    const value = this.#queue.shift()
    if (value !== undefined) this.giveBack(this.slotsOf(value), this.bytesOf(value))
    return value
  }

  /** Moves items to `out`: at least one if there is any, then no more than `max`, `maxBytes` and `maxSlots`. */
  shiftInto(
    out: T[],
    max: number,
    {
      maxBytes = Number.POSITIVE_INFINITY,
      maxSlots = Number.POSITIVE_INFINITY,
    }: { maxBytes?: number; maxSlots?: number },
  ): number {
    if (this.#slotsOf === undefined && this.#bytesOf === undefined) {
      const count = this.#queue.shiftInto(out, max)
      this.giveBack(count, 0)
      return count
    }
    let count = 0
    let slots = 0
    let bytes = 0
    while (count < max) {
      const value = this.#queue.peek()
      if (value === undefined) break
      const itemBytes = this.bytesOf(value)
      const itemSlots = this.slotsOf(value)
      if (count > 0 && (bytes + itemBytes > maxBytes || slots + itemSlots > maxSlots)) break
      this.#queue.shift()
      out.push(value)
      slots += itemSlots
      bytes += itemBytes
      count += 1
    }
    this.giveBack(slots, bytes)
    return count
  }

  giveBack(slots: number, bytes: number): void {
    this.freeSlots += slots
    this.freeBytes += bytes
    if (this.#waiting > 0) this.#grant()
  }

  /** Call when the receiver should look again: an item arrived, or no item may ever arrive. */
  notify(): void {
    if (this.#wakeReceiver === undefined) return
    const { length } = this.#queue
    const isLast = length > 0 && (this.receiverClosed || this.senders === 0)
    if (length >= this.#wanted || isLast || this.isDrained) this.wake()
  }

  /** Wakes the receiver, if it waits. */
  wake(): void {
    const wake = this.#wakeReceiver
    this.#wakeReceiver = undefined
    wake?.()
  }

  /**
   * Resolves when an item is queued, or none can arrive any more. One promise for each wait, however many items arrive.
   * @param items how many items must be queued. Default: 1.
   */
  untilReadable(signal: AbortSignal | undefined, items = 1): Promise<void> {
    if (this.#wakeReceiver !== undefined) throw new Error('a channel has one receiver: it is already waiting')
    if (signal?.aborted) return Promise.reject(signal.reason)
    this.#wanted = items
    return new Promise((resolve, reject) => {
      const abort = () => {
        this.#wakeReceiver = undefined
        reject(signal?.reason)
      }
      this.#wakeReceiver = () => {
        signal?.removeEventListener('abort', abort)
        resolve()
      }
      signal?.addEventListener('abort', abort, { once: true })
    })
  }

  closeReceiver(): void {
    if (this.receiverClosed) return
    this.receiverClosed = true
    for (let waiter = this.#waiters.shift(); waiter; waiter = this.#waiters.shift()) {
      if (waiter.cancelled) continue
      waiter.cancelled = true
      this.#waiting -= 1
      waiter.refuse()
    }
    this.closed.resolve()
    this.notify()
  }

  #grant(): void {
    for (let waiter = this.#waiters.peek(); waiter; waiter = this.#waiters.peek()) {
      if (!waiter.cancelled) {
        if (waiter.slots > this.freeSlots || waiter.bytes > this.freeBytes) return
        this.freeSlots -= waiter.slots
        this.freeBytes -= waiter.bytes
        this.#waiting -= 1
        waiter.cancelled = true
        this.#waiters.shift()
        waiter.grant()
      } else {
        this.#waiters.shift()
      }
    }
  }
}
