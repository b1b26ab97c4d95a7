/**
 * The http sink: one POST for each event, as a structured-mode CloudEvent, signed according to Standard Webhooks
 * (https://www.standardwebhooks.com: webhook-id, webhook-timestamp, webhook-signature).
 *
 *     2xx                                       delivered, whatever the body is
 *     408 425 429 502 503 504, no connection,   the sink is unavailable: all events wait, Retry-After is honoured;
 *     no answer in time                         if only this event gets that while others succeed: dead letter
 *     other 4xx, also 410                       this event will never be accepted: dead letter
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
/** Longest webhook-id, characters: receivers store it, and headers have limits. A digest replaces a longer one. */
const MAX_ID_LENGTH = 256
/** The event is at fault, not the receiver, if it failed this often while at least as many others were delivered… */
const MIN_TRIES = 10
/** …and if this many were delivered for each other event that failed. */
const DELIVERED_PER_FAILED = 10

/** The counts when an event was first sent, and how often the receiver was unavailable for it since then. */
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
    // More than one item only if a handler made several events from one: they stay in order.
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
   * An event on which the receiver always fails must not stop its lane forever.
   * @param before the counts when it was sent.
   * @throws SinkUnavailable, unless other events are delivered meanwhile.
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
    // Pass the trace context on with the event (W3C Trace Context).
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
 * The id by which receivers recognise repeats: source and id together identify an event (CloudEvents 1.0, section 3.1).
 * Both are escaped, so that the id is valid in a header and in the signed text `id.timestamp.body`, and so that two
 * events never have the same id.
 */
export function webhookId({ source, id }: Pick<Item, 'source' | 'id'>): string {
  const escaped = (text: string) => encodeURIComponent(text).replaceAll('.', '%2E')
  const readable = `${escaped(source)}:${escaped(id)}`
  return readable.length <= MAX_ID_LENGTH ? readable : `sha256:${hash('sha256', readable)}`
}

/** A date of RFC 9110, section 5.6.7: all three forms begin with the name of a day. */
const HTTP_DATE = /^(Mon|Tue|Wed|Thu|Fri|Sat|Sun)/

/** Seconds or an HTTP date (RFC 9110, section 10.2.3); milliseconds from now, or undefined. */
export function parseRetryAfter(header: string | undefined, nowMs: number = Date.now()): number | undefined {
  if (header === undefined) return undefined
  if (/^\d+$/.test(header)) return Number(header) * 1000
  const atMs = HTTP_DATE.test(header) ? Date.parse(header) : Number.NaN
  return Number.isNaN(atMs) ? undefined : Math.max(0, atMs - nowMs)
}
