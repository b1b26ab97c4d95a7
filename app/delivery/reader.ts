/**
 * Reads the log for one sink, and retries without limit: other sinks can still be served meanwhile. A problem is always
 * reported as a failure: an error, and also a read that returns nothing although there are events.
 */
import { messageOf } from '../errors.ts'
import type { Consumer, Group } from '../log/log.ts'
import { backoffMs, pause, type RetryPolicy } from './backoff.ts'

export interface ReaderOptions {
  readonly consumer: Consumer
  readonly retry: RetryPolicy
  /** Whether events are in progress: then the reader may be waiting for room instead of for the log. */
  readonly isBusy: () => boolean
  /** Called when `failure` may have changed. */
  readonly onState: () => void
}

/** A read is stalled after this time: with events in the log and none in progress, it should return at once. */
const STALL_MS = 10_000
const LOOK_EVERY_MS = 5000

export class Reader {
  readonly #options: ReaderOptions
  #failure: string | undefined
  #errors = 0
  /** Start of the read in progress; infinite while there is none. */
  #sinceMs = Number.POSITIVE_INFINITY
  readonly #timer: NodeJS.Timeout

  constructor(options: ReaderOptions) {
    this.#options = options
    this.#timer = setInterval(() => options.onState(), LOOK_EVERY_MS).unref()
  }

  /** The next group; undefined once `signal` is aborted or the log is closed. */
  async next(signal: AbortSignal): Promise<Group | undefined> {
    const { consumer, retry } = this.#options
    for (let attempt = 1; ; attempt++) {
      try {
        this.#sinceMs = performance.now()
        const group = await consumer.read(signal)
        this.#sinceMs = Number.POSITIVE_INFINITY
        this.#setFailure(undefined)
        return group
      } catch (error) {
        if (signal.aborted) return undefined
        this.#errors += 1
        this.#setFailure(`the log cannot be read: ${messageOf(error)}`)
        await pause(backoffMs(attempt, retry), signal)
      }
    }
  }

  /** Why the log, or a part of it, cannot be read now; or undefined. */
  get failure(): string | undefined {
    return this.#failure ?? this.#options.consumer.failure ?? this.#stall
  }

  /** Reads that failed, since the start. */
  get errors(): number {
    return this.#errors + this.#options.consumer.readErrors
  }

  close(): void {
    clearInterval(this.#timer)
  }

  get #stall(): string | undefined {
    const { consumer, isBusy } = this.#options
    const stalledMs = performance.now() - this.#sinceMs
    if (stalledMs < STALL_MS || consumer.lagEvents === 0 || isBusy()) return undefined
    return `the log has given nothing for ${Math.round(stalledMs / 1000)} s, with ${consumer.lagEvents} events to go`
  }

  #setFailure(failure: string | undefined): void {
    if (failure === this.#failure) return
    this.#failure = failure
    this.#options.onState()
  }
}
