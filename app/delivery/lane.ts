/**
 * One lane of a sink: a channel and the one task behind it, which is what keeps events with the same key in order.
 *
 *     pump ─send─▶ channel ─recvMany─▶ handlers ─▶ sink.write ─▶ settled
 *                                         ▲           │ failed: wait (backoff), only these again
 *                                         └───────────┤
 *                                                     └ given up: dead letter, then settled
 *
 * Nothing is settled before the sink has confirmed it or the dead letter is durable. While a lane waits to retry, the
 * events behind it wait too: order per key is worth more than going round a stuck event.
 */
import { channel, type Receiver, type Sender } from '../channel/channel.ts'
import { messageOf } from '../errors.ts'
import type { Event } from '../event.ts'
import type { Handler } from '../handlers/handler.ts'
import { type Failure, type Sink, SinkUnavailable } from '../sinks/sink.ts'
import { backoffMs, pause, type RetryPolicy } from './backoff.ts'
import type { DeadLetter } from './dead-letters.ts'
import { handleBatch } from './handle.ts'

/** One event on its way to one sink. */
export interface Delivery {
  readonly event: Event
  readonly offset: number
  readonly appendedAtMs: number
  readonly bytes: number
  /** Attempts that failed for reasons of its own. */
  attempts: number
  /** What the handlers made of it; undefined until they ran. */
  outputs: readonly Event[] | undefined
}

export interface LaneOptions {
  readonly sink: Sink
  readonly handlers: readonly Handler[]
  readonly handlerConcurrency: number
  readonly retry: RetryPolicy
  /** Bytes of encoded events that may queue in the lane. */
  readonly capacityBytes: number
  /** Resolves when the dead letters are durable. */
  readonly giveUp: (letters: readonly DeadLetter[]) => Promise<void>
  readonly onAttempt: (outcome: 'delivered' | 'retried' | 'unavailable' | 'dead_lettered') => void
  /** Called after `failure` of a lane changed. */
  readonly onState: () => void
  readonly onSettled: (batch: readonly Delivery[]) => void
  /** Aborted when what is not settled yet is to be left for the next start. */
  readonly signal: AbortSignal
}

/** Handlers may take long: a small batch keeps the way from the first handler to the sink short. */
const HANDLER_BATCH_EVENTS = 32

export class Lane {
  readonly sender: Sender<Delivery>
  readonly #receiver: Receiver<Delivery>
  readonly #options: LaneOptions
  readonly #maxBatchEvents: number
  readonly #keyed: boolean
  /** Sent to this lane and not settled. */
  pending = 0
  /** Everything of this lane before it is settled; meaningful while `pending > 0`. */
  floor = 0
  floorAppendedAtMs = 0
  /** Why this lane waits to try again, or undefined. */
  failure: string | undefined

  constructor(options: LaneOptions) {
    const { sink, handlers, capacityBytes } = options
    this.#options = options
    this.#keyed = handlers.length > 0
    this.#maxBatchEvents = this.#keyed ? Math.min(sink.maxBatchEvents, HANDLER_BATCH_EVENTS) : sink.maxBatchEvents
    const { sender, receiver } = channel<Delivery>(Math.max(16, 2 * this.#maxBatchEvents), {
      maxBytes: capacityBytes,
      bytes: (delivery) => delivery.bytes,
    })
    this.sender = sender
    this.#receiver = receiver
  }

  /** Queues a delivery, waiting for room; false once the signal is aborted. */
  async send(delivery: Delivery): Promise<boolean> {
    this.#expect(delivery)
    try {
      await this.sender.send(delivery, { signal: this.#options.signal })
      return true
    } catch {
      return false
    }
  }

  /** Queues a delivery if there is room now. */
  trySend(delivery: Delivery): boolean {
    if (this.sender.trySend(delivery) !== 'sent') return false
    this.#expect(delivery)
    return true
  }

  /** Runs until the channel is closed and drained, or the signal is aborted. */
  async run(): Promise<void> {
    const batch: Delivery[] = []
    while (!this.#options.signal.aborted && (await this.#receiver.recvMany(batch, this.#maxBatchEvents)) > 0) {
      await this.#settle(batch)
      batch.length = 0
    }
  }

  #expect(delivery: Delivery): void {
    if (this.pending === 0) {
      this.floor = delivery.offset
      this.floorAppendedAtMs = delivery.appendedAtMs
    }
    this.pending += 1
  }

  async #settle(batch: readonly Delivery[]): Promise<void> {
    const { signal, retry, giveUp, onAttempt, onSettled } = this.#options
    let open = batch
    for (let unavailable = 0; open.length > 0; ) {
      let waitMs: number
      try {
        const failures = await this.#attempt(open)
        if (signal.aborted) return
        const letters: DeadLetter[] = []
        const again: Delivery[] = []
        for (const delivery of open) {
          const failure = failures.get(delivery)
          if (failure === undefined) continue
          if (failure === HELD) again.push(delivery)
          else if (++delivery.attempts < retry.maxAttempts && failure.retryable) again.push(delivery)
          else letters.push(deadLetter(delivery, failure.reason))
        }
        if (letters.length > 0) await giveUp(letters)
        for (const _ of letters) onAttempt('dead_lettered')
        onAttempt(again.length > 0 ? 'retried' : 'delivered')
        unavailable = 0
        open = again
        const first = again.map((delivery) => failures.get(delivery)).find((failure) => failure !== HELD)
        this.#setFailure(first?.reason)
        // With none but held ones left, what they waited for is a dead letter now: no reason to wait.
        waitMs = first ? backoffMs(Math.max(1, ...again.map(({ attempts }) => attempts)), retry) : 0
      } catch (error) {
        if (signal.aborted) return
        // The sink, or the log of dead letters, cannot be used: nobody's attempts are spent on that.
        unavailable += 1
        onAttempt('unavailable')
        this.#setFailure(messageOf(error))
        const asked = error instanceof SinkUnavailable ? error.retryAfterMs : undefined
        waitMs = asked === undefined ? backoffMs(unavailable, retry) : Math.min(asked, retry.maxMs)
      }
      if (open.length > 0) await pause(waitMs, signal)
      if (signal.aborted && open.length > 0) return
    }
    this.pending -= batch.length
    const last = batch[batch.length - 1]
    if (last !== undefined) {
      this.floor = last.offset + 1
      this.floorAppendedAtMs = last.appendedAtMs
    }
    onSettled(batch)
  }

  #setFailure(failure: string | undefined): void {
    if (failure === this.failure) return
    this.failure = failure
    this.#options.onState()
  }

  /** Handlers, then the sink. Says what failed; throws when the sink cannot be used. */
  async #attempt(open: readonly Delivery[]): Promise<Map<Delivery, Omit<Failure, 'index'>>> {
    const { sink, handlers, handlerConcurrency, signal } = this.#options
    const failures = new Map<Delivery, Omit<Failure, 'index'>>()
    if (!this.#keyed) {
      const failed = await sink.write(
        open.map(({ event }) => event),
        signal,
      )
      for (const { index, reason, retryable } of failed ?? []) {
        const delivery = open[index]
        if (delivery) failures.set(delivery, { reason, retryable })
      }
      return failures
    }
    const options = { handlers, concurrency: handlerConcurrency, sink: sink.name, signal }
    for (const [delivery, reason] of await handleBatch(open, options))
      failures.set(delivery, { reason, retryable: true })
    const outputs: Event[] = []
    const owners: Delivery[] = []
    for (const delivery of open) {
      if (failures.has(delivery)) continue
      if (delivery.outputs === undefined) failures.set(delivery, HELD)
      for (const output of delivery.outputs ?? []) {
        outputs.push(output)
        owners.push(delivery)
      }
    }
    if (outputs.length === 0) return failures
    for (const { index, reason, retryable } of (await sink.write(outputs, signal)) ?? []) {
      const delivery = owners[index]
      if (delivery) failures.set(delivery, { reason, retryable })
    }
    return failures
  }
}

/** Not tried: an earlier event with the same key failed, and this one must not overtake it. */
const HELD = { reason: 'waits for an earlier event with the same key', retryable: true }

function deadLetter(delivery: Delivery, reason: string): DeadLetter {
  const { event, offset, attempts } = delivery
  return { event, offset, attempts, reason, failedAt: new Date().toISOString() }
}
