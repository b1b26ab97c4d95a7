import { setTimeout } from 'node:timers/promises'

export interface RetryPolicy {
  /** Upper bound of the first delay, milliseconds. */
  readonly baseMs: number
  /** Upper bound of every delay, milliseconds. */
  readonly maxMs: number
  /** Attempts for one event that fails. Attempts while the sink is unavailable do not count. */
  readonly maxAttempts: number
}

/**
 * Exponential backoff with full jitter: a random delay between 0 and a bound that doubles. So clients that failed
 * together do not retry together (Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015).
 * @param attempt 1 after the first failure.
 */
export function backoffMs(attempt: number, { baseMs, maxMs }: RetryPolicy, random: () => number = Math.random): number {
  return random() * Math.min(maxMs, baseMs * 2 ** Math.min(attempt - 1, 40))
}

/** Sleeps, or returns early when aborted. */
export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await setTimeout(ms, undefined, { signal }).catch(() => undefined)
}
