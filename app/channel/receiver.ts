/** The receiving end. */
import type { ChannelState, Sendable } from './channel-state.ts'

/** Longest delay until a linger notices that the channel is full. */
const LINGER_STEP_MS = 5

interface ReceiveOptions {
  /** Aborting a wait loses nothing: items that arrive later are returned by the next call. */
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

  /** The next item if there is one now. {@link isDrained} tells whether more items can arrive. */
  tryRecv(): T | undefined {
    return this.#state.shift()
  }

  /**
   * Waits for at least one item, then appends the queued items to `out`. Resolves to their number, 0 at the end.
   * @param max most items, at least 1.
   * @param options read once there is an item.
   * @param options.maxBytes most bytes; a single larger item is returned alone. Default: no limit.
   * @param options.maxSlots most slots, as with bytes. Default: no limit.
   * @param options.lingerMs how long to wait for more items after the first one, milliseconds. The wait ends early when
   *   `lingerItems` or `maxBytes` are queued, half of the channel is used, or no more items can arrive. Default: 0.
   * @param options.lingerItems default: no limit.
   */
  async recvMany(
    out: T[],
    max: number,
    options: ReceiveOptions & { maxBytes?: number; maxSlots?: number; lingerMs?: number; lingerItems?: number } = {},
  ): Promise<number> {
    if (!(max >= 1)) throw new RangeError(`max must be at least 1, not ${max}`)
    const state = this.#state
    while (state.length === 0) {
      if (state.isDrained) return 0
      await state.untilReadable(options.signal)
    }
    if (options.lingerMs !== undefined && options.lingerMs > 0) await this.#linger(options.lingerMs, options)
    return state.shiftInto(out, max, options)
  }

  async #linger(
    lingerMs: number,
    {
      signal,
      maxBytes = Number.POSITIVE_INFINITY,
      lingerItems = Number.POSITIVE_INFINITY,
    }: ReceiveOptions & { maxBytes?: number; lingerItems?: number },
  ): Promise<void> {
    const state = this.#state
    const endMs = performance.now() + lingerMs
    const isOpen = () => state.length < lingerItems && this.bytes < maxBytes && state.freeSlots > state.capacity / 2
    for (let leftMs = lingerMs; leftMs > 0 && !this.isClosed && isOpen(); leftMs = endMs - performance.now()) {
      signal?.throwIfAborted()
      const step = setTimeout(() => state.wake(), Math.min(leftMs, LINGER_STEP_MS))
      try {
        await state.untilReadable(signal, lingerItems)
      } finally {
        clearTimeout(step)
      }
    }
  }

  /** As {@link recvMany}, without waiting. */
  tryRecvMany(out: T[], max: number, options: { maxBytes?: number; maxSlots?: number } = {}): number {
    return this.#state.shiftInto(out, max, options)
  }

  /** Refuses new items and waiters. Items that are queued or held by a permit still arrive. Idempotent. */
  close(): void {
    this.#state.closeReceiver()
  }

  [Symbol.dispose](): void {
    this.close()
  }

  /** True when everything has arrived: `recv` will only return undefined. */
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
