/** The sending end: sends at once or not at all, waits for room, waits with a time limit, or reserves room first. */
import { MillraceError } from '../errors.ts'
import type { ChannelState, Sendable } from './channel-state.ts'
import { Permit } from './permit.ts'

/** The receiver closed before the value was sent. The error carries the value. */
export class SendRefused<T> extends MillraceError {
  readonly value: T | undefined

  constructor(value: T | undefined) {
    super('CHANNEL_CLOSED', 'the channel is closed: the value was not sent')
    this.value = value
  }
}

/**
 * The wait was aborted and the value was not sent. The error carries the value; `cause` is the reason of the signal.
 */
export class SendAborted<T> extends Error {
  readonly value: T | undefined

  constructor(value: T | undefined, cause: unknown) {
    super('aborted before there was room: the value was not sent', { cause })
    this.name = 'AbortError'
    this.value = value
  }
}

interface Reservation {
  /** Bytes to reserve in addition to the slots. Default: 0. */
  readonly bytes?: number
  readonly signal?: AbortSignal
}

/** One of the sending ends. Every open sender keeps the channel open: close each, or use {@link downgrade}. */
export class Sender<T extends Sendable> {
  readonly #state: ChannelState<T>
  #open = true

  /** @internal made by {@link channel}, {@link clone} and {@link WeakSender.upgrade}, which count it. */
  constructor(state: ChannelState<T>) {
    this.#state = state
  }

  /**
   * Sends at once or not at all. Allocates nothing.
   * @throws MillraceError CHANNEL_ITEM_TOO_LARGE for a value that can never fit.
   */
  trySend(value: T): 'sent' | 'full' | 'closed' {
    const state = this.#state
    if (state.receiverClosed || !this.#open) return 'closed'
    if (!state.tryTake(state.slotsOf(value), state.bytesOf(value))) return 'full'
    state.push(value)
    return 'sent'
  }

  /**
   * Waits for room, then sends. Aborting removes the value from the queue of waiters. Once this resolves, it is sent.
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

  /** As {@link send}, but gives up after `timeoutMs`; then the value was not sent. */
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
   * Waits for `slots` slots at once and reserves them. Release the permit, or its room is lost for others.
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

  /** Reserves at once or not at all. */
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

  /** Ends this sender; idempotent. Values that already wait are still sent. */
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

/** A weak reference that can become a sender as long as the channel has one. */
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
