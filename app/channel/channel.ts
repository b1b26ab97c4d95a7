/**
 * A bounded channel from many senders to one receiver, with the semantics of Tokio's bounded `mpsc`
 * (https://docs.rs/tokio/latest/tokio/sync/mpsc/), plus weights: an item can take several slots and a number of bytes,
 * and both are hard bounds.
 *
 *     const { sender, receiver } = channel<Work>(100)
 *     sender.trySend(work)                  'sent' | 'full' | 'closed', never waits
 *     await sender.send(work)               waits for room, first come, first served
 *     (await sender.reserve()).send(work)   room first, item later
 *     await receiver.recvMany(group, 1000)  everything queued, in one step
 *
 * Bounds: queued items and reserved permits together never exceed the capacity, nor `maxBytes`.
 *
 * Order: items arrive in the order in which they were sent; those who wait for room get it in the order in which they
 * began to wait.
 *
 * Closing, from the sending side: when the last sender is closed, the receiver gets what is queued, waited for or still
 * held by a permit, then the end. From the receiving side: `close` refuses what is not sent yet, keeps what is queued
 * or held by a permit; receive until the end, and nothing is lost.
 */
import { MillraceError } from '../errors.ts'
import { type ChannelOptions, ChannelState } from './channel-state.ts'

export type { ChannelOptions } from './channel-state.ts'

/** `undefined` cannot travel: it is what the receiver gets at the end. */
type Sendable = NonNullable<unknown> | null

/**
 * @param capacity slots: an integer from 1 to 2^30.
 * @throws RangeError for a capacity or `maxBytes` outside its range.
 */
export function channel<T extends Sendable>(
  capacity: number,
  options: ChannelOptions<T> = {},
): { sender: Sender<T>; receiver: Receiver<T> } {
  const state = new ChannelState<T>(capacity, options)
  return { sender: new Sender(state), receiver: new Receiver(state) }
}

/** The receiver closed before the value was sent; the value comes back. */
export class SendRefused<T> extends MillraceError {
  readonly value: T | undefined

  constructor(value: T | undefined) {
    super('CHANNEL_CLOSED', 'the channel is closed: the value was not sent')
    this.value = value
  }
}

/** Waiting was aborted, the value was not sent and comes back; `cause` is the reason of the signal. */
export class SendAborted<T> extends Error {
  readonly value: T | undefined

  constructor(value: T | undefined, cause: unknown) {
    super('aborted before there was room: the value was not sent', { cause })
    this.name = 'AbortError'
    this.value = value
  }
}

export interface Reservation {
  /** Bytes to reserve beside the slots. Default: 0. */
  readonly bytes?: number
  readonly signal?: AbortSignal
}

/** One of the ends that send. Every open one keeps the channel open: close each, or use {@link downgrade}. */
export class Sender<T extends Sendable> {
  readonly #state: ChannelState<T>
  #open = true

  /** @internal made by {@link channel}, {@link clone} and {@link WeakSender.upgrade}, which count it. */
  constructor(state: ChannelState<T>) {
    this.#state = state
  }

  /**
   * Sends now or not at all. Allocates nothing.
   * @throws MillraceError CHANNEL_ITEM_TOO_LARGE for what can never fit.
   */
  trySend(value: T): 'sent' | 'full' | 'closed' {
    const state = this.#state
    if (state.receiverClosed || !this.#open) return 'closed'
    if (!state.tryTake(state.slotsOf(value), state.bytesOf(value))) return 'full'
    state.push(value)
    return 'sent'
  }

  /**
   * Sends, waiting for room. Aborting takes the value back out of the line; once resolved it is sent.
   * @throws SendRefused (the receiver closed), SendAborted, MillraceError CHANNEL_ITEM_TOO_LARGE.
   */
  async send(value: T, { signal }: { signal?: AbortSignal } = {}): Promise<void> {
    const state = this.#state
    if (signal?.aborted) throw new SendAborted(value, signal.reason)
    if (state.receiverClosed || !this.#open) throw new SendRefused(value)
    const slots = state.slotsOf(value)
    const bytes = state.bytesOf(value)
    if (state.tryTake(slots, bytes)) return state.push(value)
    await this.#wait(slots, bytes, value, signal, () => state.push(value))
  }

  /** As {@link send}, giving up after `timeoutMs`: the value was then not sent. */
  async sendTimeout(value: T, timeoutMs: number): Promise<'sent' | 'timeout' | 'closed'> {
    const outcome = this.trySend(value)
    if (outcome !== 'full') return outcome
    const timeout = new AbortController()
    const timer = setTimeout(() => timeout.abort(), timeoutMs)
    try {
      await this.send(value, { signal: timeout.signal })
      return 'sent'
    } catch (error) {
      if (error instanceof SendAborted) return 'timeout'
      if (error instanceof SendRefused) return 'closed'
      throw error
    } finally {
      clearTimeout(timer)
    }
  }

  /** Waits for one slot and keeps it for a value to come. See {@link reserveMany}. */
  reserve(reservation: Reservation = {}): Promise<Permit<T>> {
    return this.reserveMany(1, reservation)
  }

  /**
   * Waits for `slots` slots, all at once, and keeps them. Release the permit, or what it holds is lost to others.
   * @throws SendRefused, SendAborted, MillraceError CHANNEL_ITEM_TOO_LARGE.
   */
  async reserveMany(slots: number, { bytes = 0, signal }: Reservation = {}): Promise<Permit<T>> {
    const state = this.#state
    if (signal?.aborted) throw new SendAborted(undefined, signal.reason)
    if (state.receiverClosed || !this.#open) throw new SendRefused(undefined)
    if (state.tryTake(slots, bytes)) return new Permit(state, slots, bytes)
    let permit: Permit<T> | undefined
    await this.#wait(slots, bytes, undefined, signal, () => {
      permit = new Permit(state, slots, bytes)
    })
    return permit as unknown as Permit<T>
  }

  /** Reserves now or not at all. */
  tryReserve(slots = 1, { bytes = 0 }: { bytes?: number } = {}): Permit<T> | 'full' | 'closed' {
    const state = this.#state
    if (state.receiverClosed || !this.#open) return 'closed'
    return state.tryTake(slots, bytes) ? new Permit(state, slots, bytes) : 'full'
  }

  /** Another sender of the same channel, counted. */
  clone(): Sender<T> {
    if (!this.#open) throw new Error('a closed sender cannot be cloned')
    this.#state.senders += 1
    return new Sender(this.#state)
  }

  /** A reference that does not keep the channel open. */
  downgrade(): WeakSender<T> {
    return new WeakSender(this.#state)
  }

  /** Nothing more from this sender; idempotent. What already waits is still sent. */
  close(): void {
    if (!this.#open) return
    this.#open = false
    this.#state.senders -= 1
    this.#state.notify()
  }

  [Symbol.dispose](): void {
    this.close()
  }

  /** Resolves when the receiver has closed: nothing can be sent any more. */
  closed(): Promise<void> {
    return this.#state.closed.promise
  }

  get isClosed(): boolean {
    return this.#state.receiverClosed || !this.#open
  }

  /** Slots free now. */
  get capacity(): number {
    return this.#state.freeSlots
  }

  get maxCapacity(): number {
    return this.#state.capacity
  }

  /** Bytes free now; infinite without `maxBytes`. */
  get freeBytes(): number {
    return this.#state.freeBytes
  }

  #wait(
    slots: number,
    bytes: number,
    value: T | undefined,
    signal: AbortSignal | undefined,
    grant: () => void,
  ): Promise<void> {
    return new Promise((resolve, reject) => {
      const abort = () => {
        this.#state.cancel(waiter)
        reject(new SendAborted(value, signal?.reason))
      }
      const settle = () => signal?.removeEventListener('abort', abort)
      const granted = () => {
        settle()
        grant()
        resolve()
      }
      const refused = () => {
        settle()
        reject(new SendRefused(value))
      }
      const waiter = this.#state.wait(slots, bytes, granted, refused)
      signal?.addEventListener('abort', abort, { once: true })
    })
  }
}

/** Leads back to a sender as long as the channel has one. */
export class WeakSender<T extends Sendable> {
  readonly #state: ChannelState<T>

  constructor(state: ChannelState<T>) {
    this.#state = state
  }

  /** A counted sender, or undefined when the last one is closed or the receiver has closed. */
  upgrade(): Sender<T> | undefined {
    if (this.#state.senders === 0 || this.#state.receiverClosed) return undefined
    this.#state.senders += 1
    return new Sender(this.#state)
  }
}

/** Room that is kept. Sending with it always works, even after the receiver closed; `using` returns what is unused. */
export class Permit<T extends Sendable> {
  readonly #state: ChannelState<T>
  #slots: number
  #bytes: number

  constructor(state: ChannelState<T>, slots: number, bytes: number) {
    this.#state = state
    this.#slots = slots
    this.#bytes = bytes
    state.permits += 1
    state.reservedSlots += slots
    state.reservedBytes += bytes
  }

  /** Slots that are left. */
  get remaining(): number {
    return this.#slots
  }

  /** @throws RangeError when the value needs more than is left of the permit; the permit stays as it is. */
  send(value: T): void {
    const state = this.#state
    const slots = state.slotsOf(value)
    const bytes = state.bytesOf(value)
    if (slots > this.#slots || bytes > this.#bytes) {
      throw new RangeError(
        `the value takes ${slots} slots and ${bytes} bytes, the permit has ${this.#slots} and ${this.#bytes} left`,
      )
    }
    this.#slots -= slots
    this.#bytes -= bytes
    state.reservedSlots -= slots
    state.reservedBytes -= bytes
    state.push(value)
    if (this.#slots === 0) this.#end()
  }

  /** Returns what is unused; idempotent. */
  release(): void {
    if (this.#slots > 0) this.#end()
  }

  [Symbol.dispose](): void {
    this.release()
  }

  #end(): void {
    const state = this.#state
    const [slots, bytes] = [this.#slots, this.#bytes]
    this.#slots = this.#bytes = 0
    state.permits -= 1
    state.reservedSlots -= slots
    state.reservedBytes -= bytes
    state.giveBack(slots, bytes)
    state.notify()
  }
}

export interface ReceiveOptions {
  /** Aborting a wait loses nothing: what comes later is there for the next call. */
  readonly signal?: AbortSignal
}

/** The end that receives; one call waits at a time. */
export class Receiver<T extends Sendable> {
  readonly #state: ChannelState<T>

  /** @internal made by {@link channel}. */
  constructor(state: ChannelState<T>) {
    this.#state = state
  }

  /** The next item; undefined at the end. Rejects with the signal's reason when aborted. */
  async recv({ signal }: ReceiveOptions = {}): Promise<T | undefined> {
    const state = this.#state
    while (state.length === 0) {
      if (state.isDrained) return undefined
      await state.untilReadable(signal)
    }
    return state.shift()
  }

  /** The next item if there is one now; whether more can come, {@link isDrained} tells. */
  tryRecv(): T | undefined {
    return this.#state.shift()
  }

  /**
   * Appends to `out` what is queued, waiting for at least one item; resolves to how many, 0 at the end.
   * @param max most items, from 1.
   * @param options.maxBytes most bytes; a single larger item comes alone. Default: no limit.
   */
  async recvMany(out: T[], max: number, options: ReceiveOptions & { maxBytes?: number } = {}): Promise<number> {
    if (!(max >= 1)) throw new RangeError(`max must be at least 1, not ${max}`)
    const state = this.#state
    while (state.length === 0) {
      if (state.isDrained) return 0
      await state.untilReadable(options.signal)
    }
    return state.shiftInto(out, max, options.maxBytes ?? Number.POSITIVE_INFINITY)
  }

  /** As {@link recvMany}, without waiting. */
  tryRecvMany(out: T[], max: number, { maxBytes = Number.POSITIVE_INFINITY }: { maxBytes?: number } = {}): number {
    return this.#state.shiftInto(out, max, maxBytes)
  }

  /** Nothing new is accepted: who waits is refused. What is queued or held by a permit still arrives. Idempotent. */
  close(): void {
    this.#state.closeReceiver()
  }

  [Symbol.dispose](): void {
    this.close()
  }

  /** Everything has arrived: `recv` will only give undefined. */
  get isDrained(): boolean {
    return this.#state.isDrained
  }

  get isClosed(): boolean {
    return this.#state.receiverClosed || this.#state.senders === 0
  }

  /** Items queued. */
  get length(): number {
    return this.#state.length
  }

  /** Slots that the queued items take. */
  get slots(): number {
    return this.#state.capacity - this.#state.freeSlots - this.#state.reservedSlots
  }

  /** Bytes that the queued items take; 0 without `maxBytes`. */
  get bytes(): number {
    const { maxBytes, freeBytes, reservedBytes } = this.#state
    return Number.isFinite(maxBytes) ? maxBytes - freeBytes - reservedBytes : 0
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T, void> {
    for (let value = await this.recv(); value !== undefined; value = await this.recv()) yield value
  }
}
