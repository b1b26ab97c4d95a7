/**
 * What the public listener and the log share: the encoded events of one request, and who waits until they are durable.
 *
 *     request ─▶ Write ═ channel ═▶ group commit ─▶ log.append(batches) ─▶ settle(lost) ─▶ answer
 */
import type { MillraceError } from './errors.ts'

/** How much is known of lines: the more, the less must be looked at when they are delivered. */
export const Known = {
  NOTHING: 0,
  /** Each is an event. */
  EVENTS: 1,
  /** Each is a complete CloudEvent and nothing else, so that it can go out as it is. */
  COMPLETE: 2,
} as const
export type Known = (typeof Known)[keyof typeof Known]

/** What is known of all of them. */
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
  /** Default: nothing. */
  readonly known?: Known | undefined
  /** Key of each event, in order, for a log that is {@link Log.keyed}. Default: their order does not matter. */
  readonly keys?: readonly string[] | undefined
}

/** An event that did not become durable. Others of the same append may have. */
export interface Lost {
  /** Place of its batch in the append, and of the event in its batch. */
  readonly batch: number
  readonly index: number
  readonly error: MillraceError
}

/** What every append without losses returns. */
export const NOTHING_LOST: readonly Lost[] = []

/** A batch that says which events are in it, and is told which of them were not stored again. */
export interface Identified extends Batch {
  /** Of each event, in order; one without is nobody's duplicate. Default: none has any. */
  readonly identities?: readonly (string | undefined)[] | undefined
  /** Places of events in it, rising. */
  duplicates: readonly number[]
}

/**
 * @param error a MillraceError when none of the write is durable, else undefined.
 * @param lost events of it that are not durable although others are, by `index`; nearly always none.
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
  /** Once durable: places of events in it that were in the log already and were not stored again, rising. */
  duplicates = NO_PLACES
  readonly #onSettled: OnSettled

  /** @param onSettled called once, and may not throw. Not a promise: thousands a second would be made for nothing. */
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

  /** @param lost what of it is not durable: all of it is a failure, of a kind that is worth another try if any is. */
  settle(lost: readonly Lost[]): void {
    if (lost.length < this.count) this.#onSettled(undefined, lost)
    else this.fail((lost.find(({ error }) => error.retryable) ?? lost[0])?.error)
  }

  fail(error: unknown): void {
    this.#onSettled(error, NOTHING_LOST)
  }
}
