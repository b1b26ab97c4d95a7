/** What travels through the channel: the encoded events of one request, and the promise that they are durable. */
import type { Identified } from './log/deduplication.ts'
import type { Lost } from './log/log.ts'

export type { Lost }

export class Write implements Identified {
  /** `count` JSON texts, one a line, no newline at the end. */
  readonly payload: Buffer
  readonly count: number
  readonly keys: readonly string[] | undefined
  readonly identities: Identified['identities']
  /** Once durable: events of it that were in the log already and were not stored again. */
  duplicates = 0
  /**
   * Resolves when it is durable, to the events that are not although others are (by `index`; nearly always none);
   * rejects with a MillraceError when none of it is.
   */
  readonly durable: Promise<readonly Lost[]>
  #resolve!: (lost: readonly Lost[]) => void
  #reject!: (error: unknown) => void

  constructor(payload: Buffer, count: number, keys?: readonly string[], identities?: Identified['identities']) {
    this.payload = payload
    this.count = count
    this.keys = keys
    this.identities = identities
    this.durable = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
    // Whoever opted out of waiting must not turn a refusal into an unhandled rejection.
    this.durable.catch(() => undefined)
  }

  /** @param lost what of it is not durable: all of it is a failure, of a kind that is worth another try if any is. */
  settle(lost: readonly Lost[]): void {
    if (lost.length < this.count) this.#resolve(lost)
    else this.#reject((lost.find(({ error }) => error.retryable) ?? lost[0])?.error)
  }

  fail(error: unknown): void {
    this.#reject(error)
  }
}
