/**
 * The http sink: one POST an event, as a structured-mode CloudEvent, signed as Standard Webhooks lays down
 * (https://www.standardwebhooks.com: webhook-id, webhook-timestamp, webhook-signature).
 *
 *     2xx                                       delivered, whatever its body does
 *     408 425 429 502 503 504, no connection,   the sink is unavailable: all of it waits, Retry-After is honoured;
 *     no answer in time                         unless only this event gets that, and others get through: dead letter
 *     other 4xx, 410 among them                 this event never will be taken: dead letter
 *     anything else (500, 3xx, …)               this event failed: retried, then dead letter
 */
import { hash } from 'node:crypto'
import { Webhook } from 'standardwebhooks'
import { messageOf } from '../errors.ts'
import { isTraceparent } from '../event.ts'
import { type Answer, HttpPost } from './http-post.ts'
import { type Failure, type Item, type Sink, type SinkBatch, SinkUnavailable } from './sink.ts'

export interface HttpSinkOptions {
  readonly url: string
  /** Base64, with or without `whsec_`; empty: requests are not signed. */
  readonly secret: string
  readonly timeoutMs: number
  readonly concurrency: number
}

const UNAVAILABLE = new Set([408, 425, 429, 502, 503, 504])
/** Of a webhook-id; receivers keep it, and headers have limits. A longer one becomes a digest. */
const MAX_ID_LENGTH = 256
/** An event is the trouble, not the receiver, when it failed so often while at least as many others got through… */
const MIN_TRIES = 10
/** …and for each other one that failed meanwhile, so many were delivered. */
const DELIVERED_PER_FAILED = 10

/** What had happened when an event was first sent, and how often the receiver was unavailable for it since. */
interface Suspect {
  tries: number
  readonly delivered: number
  readonly failed: number
}

export class HttpSink implements Sink {
  readonly concurrency: number
  readonly maxBatchEvents = 1
  readonly #origin: string
  readonly #post: HttpPost
  readonly #webhook: Webhook | undefined
  readonly #suspects = new WeakMap<Item, Suspect>()
  #delivered = 0
  #failed = 0

  constructor({ url, secret, timeoutMs, concurrency }: HttpSinkOptions) {
    this.concurrency = concurrency
    this.#origin = new URL(url).origin
    this.#post = new HttpPost(url, timeoutMs)
    this.#webhook = secret === '' ? undefined : new Webhook(secret)
  }

  async write({ items }: Pick<SinkBatch, 'items'>, signal: AbortSignal): Promise<readonly Failure[]> {
    const failures: Failure[] = []
    // More than one only when a handler made several of one: they stay in order.
    for (const [index, item] of items.entries()) {
      const failure = await this.#deliver(item, signal)
      if (failure) failures.push({ index, ...failure })
      else this.#delivered += 1
    }
    return failures
  }

  async close(): Promise<void> {
    this.#post.close()
  }

  async #deliver(item: Item, signal: AbortSignal): Promise<Omit<Failure, 'index'> | undefined> {
    const body = item.json
    let headers: Record<string, string>
    try {
      headers = this.#headers(item, body)
    } catch (error) {
      return { reason: `no headers can be made for it: ${messageOf(error)}`, retryable: false }
    }
    const before = { tries: 0, delivered: this.#delivered, failed: this.#failed }
    let answer: Answer
    try {
      answer = await this.#post.send(body, headers, signal)
    } catch (cause) {
      if (signal.aborted) throw new SinkUnavailable(messageOf(cause), { cause })
      return this.#unavailable(item, before, `no answer from ${this.#origin} (${messageOf(cause)})`, { cause })
    }
    const { status } = answer
    if (status >= 200 && status < 300) return undefined
    const reason = `${this.#origin} answered ${status}: ${answer.text}`
    if (UNAVAILABLE.has(status)) {
      return this.#unavailable(item, before, reason, { retryAfterMs: parseRetryAfter(answer.retryAfter) })
    }
    return { reason, retryable: status < 400 || status >= 500 }
  }

  /**
   * One event that the receiver always fails on must not stop its lane forever.
   * @param before what had happened when it was sent.
   * @throws SinkUnavailable unless others get through.
   */
  #unavailable(
    item: Item,
    before: Suspect,
    reason: string,
    options: ConstructorParameters<typeof SinkUnavailable>[1],
  ): Omit<Failure, 'index'> {
    const suspect = this.#suspects.get(item) ?? before
    suspect.tries += 1
    this.#failed += 1
    this.#suspects.set(item, suspect)
    const delivered = this.#delivered - suspect.delivered
    const othersFailed = this.#failed - suspect.failed - suspect.tries
    const isItsOwn = delivered >= Math.max(MIN_TRIES, DELIVERED_PER_FAILED * othersFailed)
    if (suspect.tries < MIN_TRIES || !isItsOwn) throw new SinkUnavailable(reason, options)
    const others = `${suspect.tries} times, while ${delivered} others were delivered`
    return { reason: `${reason} (${others})`, retryable: false }
  }

  #headers(item: Item, body: Buffer): Record<string, string> {
    const headers: Record<string, string> = {
      'content-type': 'application/cloudevents+json',
      'user-agent': 'millrace',
      'accept-encoding': 'identity',
    }
    // The trace goes on where the event goes (W3C Trace Context).
    const { traceparent } = item
    if (isTraceparent(traceparent)) headers.traceparent = traceparent
    if (this.#webhook === undefined) return headers
    const now = new Date()
    const id = webhookId(item)
    headers['webhook-id'] = id
    headers['webhook-timestamp'] = String(Math.floor(now.getTime() / 1000))
    headers['webhook-signature'] = this.#webhook.sign(id, now, body)
    return headers
  }
}

/**
 * What receivers tell repeats by: source and id together identify an event (CloudEvents 1.0, section 3.1). Escaped, so that it can
 * stand in a header and in what is signed, `id.timestamp.body`, and so that no two events have the same.
 */
export function webhookId({ source, id }: Pick<Item, 'source' | 'id'>): string {
  const escaped = (text: string) => encodeURIComponent(text).replaceAll('.', '%2E')
  const readable = `${escaped(source)}:${escaped(id)}`
  return readable.length <= MAX_ID_LENGTH ? readable : `sha256:${hash('sha256', readable)}`
}

/** A date of RFC 9110, section 5.6.7: the names of days begin all three forms. */
const HTTP_DATE = /^(Mon|Tue|Wed|Thu|Fri|Sat|Sun)/

/** Seconds or an HTTP date (RFC 9110, section 10.2.3); milliseconds from now, or undefined. */
export function parseRetryAfter(header: string | undefined, nowMs: number = Date.now()): number | undefined {
  if (header === undefined) return undefined
  if (/^\d+$/.test(header)) return Number(header) * 1000
  const atMs = HTTP_DATE.test(header) ? Date.parse(header) : Number.NaN
  return Number.isNaN(atMs) ? undefined : Math.max(0, atMs - nowMs)
}
