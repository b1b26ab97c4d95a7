/**
 * What a sink promises to delivery, and delivery to a sink: the contract of Millrace's own sinks and of yours. The suite in
 * `millrace/testing` checks it.
 */
import type { Item } from '../event/item.ts'
import type { SinkBatch } from './batch.ts'

export type { Item, SinkBatch }

export interface Sink {
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
  write(batch: SinkBatch, signal: AbortSignal): Promise<readonly Failure[] | undefined>
  /** Makes what `write` took durable. Called before an offset is committed, so it may be rarer than `write`. */
  flush?(): Promise<void>
  /**
   * Only of a sink that gathers over many calls of `write`: resolves once everything that it took so far is durable;
   * no offset is committed before. It never rejects: such a sink tries again by itself, and says why in `failure`.
   * Its `flush` is called only when something waits for it: a stop, a partition that goes elsewhere, a replay.
   */
  durable?(): Promise<void>
  readonly failure?: string | undefined
  /**
   * Only of a sink that gathers: set by delivery, called with events that the sink took and that its destination refuses for
   * good. Resolves when they are dead letters; until then they are not durable.
   */
  onRefused?: ((refused: readonly Refused[]) => Promise<void>) | undefined
  /** What comes of this log is another process's now; what is gathered of it and not durable, too. */
  forget?(logId: string): void
  /** Called once, when nothing calls `write` any more. What is gathered and not durable yet is delivered again later. */
  close(): Promise<void>
}

/** What delivery tells a sink when it is made. */
export interface SinkContext {
  /** Of the route. */
  readonly name: string
  /** Wait after the `attempt`th failure, milliseconds. */
  readonly backoffMs: (attempt: number) => number
  /** For the log of the service: what an operator should know. */
  readonly onWarning: (message: string) => void
  /** Called once when only a restart helps: the process stops. */
  readonly onFailure: (error: Error) => void
}

export interface SinkParts<Options> extends SinkContext {
  /** Of the route, but for the variables of delivery among them. */
  readonly options: Options
}

/**
 * Makes a sink of your own, for one route. Called at the start, and by `millrace config --check`, which closes it again: it
 * should leave connecting to the first `write`. A throw ends the start, with its message.
 */
// biome-ignore lint/suspicious/noExplicitAny: what options there are is between a route and its sink
export type SinkFactory<Options = any> = (parts: SinkParts<Options>) => Sink | Promise<Sink>

/** One event that the sink did not take. */
export interface Failure {
  /** Place in the batch. */
  readonly index: number
  readonly reason: string
  /** false: it never will be; a dead letter at once. */
  readonly retryable: boolean
}

/** An event that was taken, and can never be delivered. */
export interface Refused {
  readonly item: Item
  readonly reason: string
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
