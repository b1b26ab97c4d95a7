/** What travels through the channel: the encoded events of one request, and who waits until they are durable. */
import type { Identified } from './log/deduplication.ts'
import { type Lost, NOTHING_LOST } from './log/log.ts'

export { type Lost, NOTHING_LOST }

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
    keys?: readonly string[],
    identities?: Identified['identities'],
  ) {
    this.payload = payload
    this.count = count
    this.#onSettled = onSettled
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
