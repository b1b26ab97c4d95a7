/** A delivery on another thread, as the main thread sees it: how far it is, the log says; the rest it was told last. */
import type { ReplayResult } from '../delivery/dead-letters.ts'
import { lagSecondsOf, type RunningDelivery, waitingOf } from '../delivery/delivery.ts'
import type { Consumer, Settled } from '../log/log.ts'
import type { DeliveryState, Request } from './messages.ts'

interface RemoteDeliveryParts {
  /** Of the log here; what it reads is read on the other thread. */
  readonly consumer: Consumer
  readonly state: DeliveryState
  readonly call: (request: Request) => Promise<unknown>
  /** Everything before it is durable. */
  readonly endOffset: () => number
}

export class RemoteDelivery implements RunningDelivery {
  readonly sink: string
  readonly #parts: RemoteDeliveryParts
  #state: DeliveryState

  constructor(parts: RemoteDeliveryParts) {
    this.sink = parts.consumer.name
    this.#parts = parts
    this.#state = parts.state
  }

  update(state: DeliveryState): void {
    this.#state = state
  }

  get settled(): Settled {
    return this.#parts.consumer.settled
  }

  get lagEvents(): number {
    return this.#parts.consumer.lagEvents
  }

  get lagSeconds(): number {
    return lagSecondsOf(this.#parts.consumer)
  }

  get waitingEvents(): number {
    return waitingOf(this)
  }

  get gatheredEvents(): number {
    return this.#state.gatheredEvents
  }

  get attempts() {
    return this.#state.attempts
  }

  get filteredTotal(): number {
    return this.#state.filteredTotal
  }

  get replayedTotal(): number {
    return this.#state.replayedTotal
  }

  get deadLettersPending(): number {
    return this.#state.deadLettersPending
  }

  get readErrorsTotal(): number {
    return this.#state.readErrorsTotal
  }

  get failure(): string | undefined {
    return this.#state.failure
  }

  get failing(): boolean {
    return this.failure !== undefined
  }

  async deadLetters(limit: number): Promise<readonly { readonly text: string }[]> {
    return (await this.#parts.call({ method: 'deadLetters', limit })) as { readonly text: string }[]
  }

  async replay(): Promise<ReplayResult | undefined> {
    return (await this.#parts.call({ method: 'replay' })) as ReplayResult | undefined
  }

  async close(drainMs: number): Promise<boolean> {
    const { call, endOffset } = this.#parts
    return (await call({ method: 'close', drainMs, endOffset: endOffset() })) as boolean
  }
}
