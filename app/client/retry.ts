/** When a request is sent again after a temporary failure. */

export interface RetryPolicy {
  /** Upper bound of the first delay, milliseconds. */
  readonly baseMs: number
  /** Upper bound of delays that the service does not ask for, milliseconds. */
  readonly maxMs: number
}

/** Longest Retry-After that is followed: with a longer one, or a wrong clock, the client would seem to have stopped. */
export const MAX_RETRY_AFTER_MS = 10 * 60_000

/**
 * Exponential backoff with full jitter: a random delay between 0 and a bound that doubles. So clients that failed
 * together do not retry together (Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015). Delivery to
 * sinks has the same rule (app/delivery/backoff.ts), with timers of Node that browsers do not have.
 * @param attempt 1 after the first failure.
 */
export function backoffMs(attempt: number, { baseMs, maxMs }: RetryPolicy, random: () => number = Math.random): number {
  return random() * Math.min(maxMs, baseMs * 2 ** Math.min(attempt - 1, 40))
}

/**
 * `Retry-After`: seconds or an HTTP date (RFC 9110, section 10.2.3).
 * @returns milliseconds from 0 to {@link MAX_RETRY_AFTER_MS}; 0 for a header that is absent or invalid.
 */
export function retryAfterMs(header: string | null, nowMs: number = Date.now()): number {
  if (header === null) return 0
  const text = header.trim()
  const waitMs = /^\d+$/.test(text) ? Number(text) * 1000 : Date.parse(text) - nowMs
  return Number.isNaN(waitMs) ? 0 : Math.min(MAX_RETRY_AFTER_MS, Math.max(0, waitMs))
}

/** Waits, or returns early once one of the signals is aborted. */
export function pause(ms: number, ...signals: readonly AbortSignal[]): Promise<void> {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer)
      for (const signal of signals) signal.removeEventListener('abort', end)
      resolve()
    }
    const timer = setTimeout(end, ms)
    for (const signal of signals) signal.addEventListener('abort', end)
    if (signals.some(({ aborted }) => aborted)) end()
  })
}
