/**
 * The http sink: one POST an event, as a structured-mode CloudEvent, signed as Standard Webhooks lays down
 * (https://www.standardwebhooks.com: webhook-id, webhook-timestamp, webhook-signature).
 *
 *     2xx                                       delivered
 *     408 425 429 502 503 504, no connection,   the sink is unavailable: all of it waits, Retry-After is honoured
 *     no answer in time
 *     other 4xx, 410 among them                 this event never will be taken: dead letter
 *     anything else (500, 3xx, …)               this event failed: retried, then dead letter
 */
import { Webhook } from 'standardwebhooks'
import { messageOf } from '../errors.ts'
import { type Event, isTraceparent } from '../event.ts'
import { type Failure, type Item, type Sink, SinkUnavailable } from './sink.ts'

export interface HttpSinkOptions {
  readonly url: string
  /** Base64, with or without `whsec_`; empty: requests are not signed. */
  readonly secret: string
  readonly timeoutMs: number
  readonly concurrency: number
}

const UNAVAILABLE = new Set([408, 425, 429, 502, 503, 504])
/** Of the answer's body, for the reason of a failure. */
const MAX_REASON_CHARACTERS = 200

export class HttpSink implements Sink {
  readonly concurrency: number
  readonly maxBatchEvents = 1
  readonly #options: HttpSinkOptions
  readonly #webhook: Webhook | undefined

  constructor(options: HttpSinkOptions) {
    this.#options = options
    this.concurrency = options.concurrency
    this.#webhook = options.secret === '' ? undefined : new Webhook(options.secret)
  }

  async write(items: readonly Item[], signal: AbortSignal): Promise<readonly Failure[]> {
    const failures: Failure[] = []
    // More than one only when a handler made several of one: they stay in order.
    for (const [index, { event }] of items.entries()) {
      const failure = await this.#post(event, signal)
      if (failure) failures.push({ index, ...failure })
    }
    return failures
  }

  async close(): Promise<void> {}

  async #post(event: Event, signal: AbortSignal): Promise<Omit<Failure, 'index'> | undefined> {
    const { url, timeoutMs } = this.#options
    const body = JSON.stringify(event)
    let headers: Headers
    try {
      headers = this.#headers(event, body)
    } catch (error) {
      return { reason: `no headers can be made for it: ${messageOf(error)}`, retryable: false }
    }
    let response: Response
    let text: string
    const abort = new AbortController()
    const stop = () => abort.abort(signal.reason)
    // Not AbortSignal.any: it leaves something of each request behind for as long as `signal` lives (Node 22).
    signal.addEventListener('abort', stop, { once: true })
    if (signal.aborted) stop()
    const timer = setTimeout(() => abort.abort(new Error(`nothing within ${timeoutMs} ms`)), timeoutMs)
    try {
      response = await fetch(url, {
        method: 'POST',
        headers,
        body,
        redirect: 'manual', // a signed event goes where it was configured to go, nowhere else
        signal: abort.signal,
      })
      // Read to the end, or the connection is not used again.
      text = await response.text()
    } catch (error) {
      const cause = error instanceof Error && error.cause ? error.cause : error
      throw new SinkUnavailable(`no answer from ${new URL(url).origin} (${messageOf(cause)})`, { cause })
    } finally {
      clearTimeout(timer)
      signal.removeEventListener('abort', stop)
    }
    const { status } = response
    if (status >= 200 && status < 300) return undefined
    const reason = `${new URL(url).origin} answered ${status}: ${text.slice(0, MAX_REASON_CHARACTERS)}`
    if (UNAVAILABLE.has(status)) {
      throw new SinkUnavailable(reason, { retryAfterMs: parseRetryAfter(response.headers.get('retry-after')) })
    }
    return { reason, retryable: status < 400 || status >= 500 }
  }

  #headers(event: Event, body: string): Headers {
    const headers = new Headers({ 'content-type': 'application/cloudevents+json', 'user-agent': 'millrace' })
    // The trace goes on where the event goes (W3C Trace Context).
    if (isTraceparent(event.traceparent)) headers.set('traceparent', event.traceparent)
    if (this.#webhook === undefined) return headers
    const now = new Date()
    // An id may hold what a header cannot.
    const id = encodeURIComponent(event.id)
    headers.set('webhook-id', id)
    headers.set('webhook-timestamp', String(Math.floor(now.getTime() / 1000)))
    headers.set('webhook-signature', this.#webhook.sign(id, now, body))
    return headers
  }
}

/** Seconds or an HTTP date (RFC 9110, section 10.2.3); milliseconds from now, or undefined. */
export function parseRetryAfter(header: string | null, nowMs: number = Date.now()): number | undefined {
  if (header === null) return undefined
  if (/^\d+$/.test(header)) return Number(header) * 1000
  const atMs = Date.parse(header)
  return Number.isNaN(atMs) ? undefined : Math.max(0, atMs - nowMs)
}
