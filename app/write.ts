/**
 * Shared by the public listener and the log: the encoded events of one request, and the callback for their outcome.
 *
 *     request ─▶ Write ═ channel ═▶ group commit ─▶ log.append(batches) ─▶ settle(lost) ─▶ answer
 */
import type { MillraceError } from './errors.ts'

/** What is known about lines. The more is known, the less must be checked when they are delivered. */
export const Known = {
  NOTHING: 0,
  /** Each is an event. */
  EVENTS: 1,
  /** Each is a complete CloudEvent and nothing else, so it can be delivered unchanged. */
  COMPLETE: 2,
} as const
export type Known = (typeof Known)[keyof typeof Known]

/** What is known about the lines of all batches. */
export function knownOfAll(batches: readonly Pick<Batch, 'known'>[]): Known {
  let least: Known = Known.COMPLETE
  for (const { known = Known.NOTHING } of batches) if (known < least) least = known
  return least
}

/** Encoded events: `count` JSON objects, one a line, separated by `\n`, no newline at the end, valid UTF-8. */
export interface Batch {
  readonly payload: Buffer
  /** At least 1. */
  readonly count: number
  /** What is known about the lines. Default: nothing. */
  readonly known?: Known | undefined
  /** Key of each event, in order, for a log that is {@link Log.keyed}. Default: their order does not matter. */
  readonly keys?: readonly string[] | undefined
}

/** An event that did not become durable, although others of the same append may have. */
export interface Lost {
  /** Index of its batch in the append, and of the event in its batch. */
  readonly batch: number
  readonly index: number
  readonly error: MillraceError
}

/** The result of an append without losses. */
export const NOTHING_LOST: readonly Lost[] = []

/** A batch with the identities of its events. Deduplication sets `duplicates`. */
export interface Identified extends Batch {
  /** Identity of each event, in order. An event without one is never a duplicate. Default: no event has one. */
  readonly identities?: readonly (string | undefined)[] | undefined
  /** Indices of events that were not stored again, ascending. */
  duplicates: readonly number[]
}

/**
 * @param error a MillraceError when no event of the write is durable, else undefined.
 * @param lost events that are not durable although others are, by `index`; nearly always empty.
 */
export type OnSettled = (error: unknown, lost: readonly Lost[]) => void

const NO_PLACES: readonly number[] = []

export class Write implements Identified {
  /** `count` JSON texts, one a line, no newline at the end. */
  readonly payload: Buffer
  readonly count: number
  readonly known: Known
  readonly keys: readonly string[] | undefined
  readonly identities: Identified['identities']
  /** Set once durable: indices of events that were already in the log and were not stored again, ascending. */
  duplicates = NO_PLACES
  readonly #onSettled: OnSettled

  /**
   * @param onSettled called once; must not throw. A callback, because a promise for each of thousands a second is
   *   costly.
   */
  constructor(
    payload: Buffer,
    count: number,
    onSettled: OnSettled,
    { known = Known.NOTHING, keys, identities }: Pick<Identified, 'known' | 'keys' | 'identities'> = {},
  ) {
    this.payload = payload
    this.count = count
    this.#onSettled = onSettled
    this.known = known
    this.keys = keys
    this.identities = identities
  }

  /** @param lost events that are not durable. If all are lost, the write fails, with a retryable error if any is. */
  settle(lost: readonly Lost[]): void {
    if (lost.length < this.count) this.#onSettled(undefined, lost)
    else this.fail((lost.find(({ error }) => error.retryable) ?? lost[0])?.error)
  }

  fail(error: unknown): void {
    this.#onSettled(error, NOTHING_LOST)
  }
}
