/**
 * The contract between delivery and a sink, for Millrace's own sinks and for yours. The suite in `millrace/testing`
 * checks it.
 */
import type { Item } from '../event/item.ts'
import type { SinkBatch } from './batch.ts'

export type { Item, SinkBatch }

export interface Sink {
  /** Number of lanes: concurrent calls of `write`. Events with the same key always use the same lane, in order. */
  readonly concurrency: number
  /** Most events in one call of `write`. */
  readonly maxBatchEvents: number
  /**
   * Delivers the events, in order. It resolves to the events that failed; every other event is delivered. Nothing, or
   * an empty list: all are delivered. A throw means that the sink itself cannot be used now: no event is lost or given
   * up, and all are retried later. A replay of dead letters may call it at the same time as the lanes.
   */
  write(batch: SinkBatch, signal: AbortSignal): Promise<readonly Failure[] | undefined>
  /** Makes the written events durable. Called before an offset is committed, so less often than `write`. */
  flush?(): Promise<void>
  /**
   * Only for a sink that collects events over many calls of `write`. Resolves once everything written so far is
   * durable; no offset is committed earlier. It never rejects: such a sink retries by itself and sets `failure`. Its
   * `flush` is called only when something waits for it: a stop, a partition that moves to another process, a replay.
   */
  durable?(): Promise<void>
  readonly failure?: string | undefined
  /**
   * Only for a sink that collects events. Delivery sets it; the sink calls it with events that its destination refuses
   * for good. Resolves when they are dead letters; until then they are not durable.
   */
  onRefused?: ((refused: readonly Refused[]) => Promise<void>) | undefined
  /** Another process delivers this log now: drop its events that are collected but not durable. */
  forget?(logId: string): void
  /** Called once, after the last `write`. Events that are collected but not durable are delivered again later. */
  close(): Promise<void>
}

/** What delivery passes to a new sink. */
export interface SinkContext {
  /** Name of the route. */
  readonly name: string
  /** Delay after the `attempt`th failure, milliseconds. */
  readonly backoffMs: (attempt: number) => number
  /** Logs a line that an operator should know. */
  readonly onWarning: (message: string) => void
  /** Call it once when only a restart helps: the process then stops. */
  readonly onFailure: (error: Error) => void
}

export interface SinkParts<Options> extends SinkContext {
  /** Options of the route, without the variables of delivery. */
  readonly options: Options
}

/**
 * Makes your own sink, for one route. Called at the start, and by `millrace config --check`, which closes it again. So
 * connect only in the first `write`. A throw ends the start with its message.
 */
// biome-ignore lint/suspicious/noExplicitAny: what options there are is between a route and its sink
export type SinkFactory<Options = any> = (parts: SinkParts<Options>) => Sink | Promise<Sink>

/** One event that the sink did not accept. */
export interface Failure {
  /** Index in the batch, from 0. */
  readonly index: number
  readonly reason: string
  /** false: the event will never be accepted, so it becomes a dead letter at once. */
  readonly retryable: boolean
}

/** An event that was accepted but can never be delivered. */
export interface Refused {
  readonly item: Item
  readonly reason: string
}

/** Thrown by `write` when the sink cannot be used now. It can say for how long. */
export class SinkUnavailable extends Error {
  readonly retryAfterMs: number | undefined

  constructor(message: string, options?: { cause?: unknown; retryAfterMs?: number | undefined }) {
    super(message, options)
    this.name = 'SinkUnavailable'
    this.retryAfterMs = options?.retryAfterMs
  }
}
