/** What a sink promises to delivery, and delivery to a sink. */
import type { Event } from '../event.ts'

export interface Sink {
  readonly name: string
  /** Lanes: calls of `write` at once. Events with the same key always come through the same lane, in order. */
  readonly concurrency: number
  /** Most events in one call of `write`. */
  readonly maxBatchEvents: number
  /**
   * Takes the events, in order. What it resolves to says what became of each:
   * nothing or an empty list, all are delivered; otherwise the failures, and every other event is delivered.
   * A throw says that the sink itself cannot be used now: nothing is lost or given up, all of it is tried again later.
   * A replay of dead letters may call it beside the lanes.
   */
  write(events: readonly Event[], signal: AbortSignal): Promise<readonly Failure[] | undefined>
  /** Makes what `write` took durable. Called before an offset is committed, so it may be rarer than `write`. */
  flush?(): Promise<void>
  close(): Promise<void>
}

/** One event that the sink did not take. */
export interface Failure {
  /** Place in the batch. */
  readonly index: number
  readonly reason: string
  /** false: it never will be; a dead letter at once. */
  readonly retryable: boolean
}

/** Thrown by `write` when the sink cannot be used now and says for how long. */
export class SinkUnavailable extends Error {
  readonly retryAfterMs: number | undefined

  constructor(message: string, options?: { cause?: unknown; retryAfterMs?: number | undefined }) {
    super(message, options)
    this.name = 'SinkUnavailable'
    this.retryAfterMs = options?.retryAfterMs
  }
}
