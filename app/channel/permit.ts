import type { ChannelState, Sendable } from './channel-state.ts'

/** Reserved room. Sending with it always works, even after the receiver closed. `using` returns unused room. */
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

  /** @throws RangeError when the value needs more room than the permit has left; the permit is then unchanged. */
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

  /** Returns unused room; idempotent. */
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
