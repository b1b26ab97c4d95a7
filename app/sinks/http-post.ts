/**
 * One POST and its answer. Only the status decides what happened to the event; the body is text for people. So the
 * start of the body is read for a failure, and nothing for a success. A slow, endless, huge or wrongly encoded body
 * costs nothing and delays nothing.
 *
 *     POST ─▶ status line and headers, within the time limit ─▶ answer
 *                     └▶ body: up to a few KiB and a moment, then the connection is dropped
 */
import { Agent, type ClientRequest, type IncomingMessage, request as requestHttp } from 'node:http'
import { request as requestHttps, Agent as TlsAgent } from 'node:https'

export interface Answer {
  readonly status: number
  /** The start of the body of a failure; empty for a success. */
  readonly text: string
  readonly retryAfter: string | undefined
}

/** Limit of the body that is read, to reuse the connection or for the reason of a failure. */
const MAX_BODY_BYTES = 4096
const MAX_REASON_CHARACTERS = 200
const BODY_WITHIN_MS = 250

export class HttpPost {
  readonly #url: URL
  readonly #timeoutMs: number
  readonly #agent: Agent

  constructor(url: string, timeoutMs: number) {
    this.#url = new URL(url)
    this.#timeoutMs = timeoutMs
    this.#agent = this.#url.protocol === 'https:' ? new TlsAgent({ keepAlive: true }) : new Agent({ keepAlive: true })
  }

  /**
   * Sends one request. Follows no redirect: a signed event goes only to the configured URL.
   * @throws Error when there is no answer: no connection, a timeout, or invalid HTTP; or `signal` is aborted.
   */
  async send(body: Buffer, headers: Record<string, string>, signal: AbortSignal): Promise<Answer> {
    signal.throwIfAborted()
    const request = this.#url.protocol === 'https:' ? requestHttps : requestHttp
    const sent = request(this.#url, { method: 'POST', agent: this.#agent, headers })
    const stop = () => void sent.destroy(signal.reason)
    signal.addEventListener('abort', stop, { once: true })
    const timer = setTimeout(() => sent.destroy(new Error(`nothing within ${this.#timeoutMs} ms`)), this.#timeoutMs)
    try {
      const response = await answerTo(sent, body)
      clearTimeout(timer)
      const status = response.statusCode ?? 0
      const text = await beginningOf(response)
      const isDelivered = status >= 200 && status < 300
      return { status, text: isDelivered ? '' : text, retryAfter: response.headers['retry-after'] }
    } finally {
      clearTimeout(timer)
      signal.removeEventListener('abort', stop)
    }
  }

  close(): void {
    this.#agent.destroy()
  }
}

function answerTo(sent: ClientRequest, body: Buffer): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    sent.on('response', resolve)
    // After the response, a broken connection loses only text for people.
    sent.on('error', reject)
    sent.end(body)
  })
}

/** Resolves when the body has ended, broken off, or been cut off at the limits; never rejects. */
async function beginningOf(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  let bytes = 0
  const timer = setTimeout(() => response.destroy(), BODY_WITHIN_MS)
  await new Promise<void>((resolve) => {
    response.on('data', (chunk: Buffer) => {
      chunks.push(chunk)
      bytes += chunk.length
      if (bytes > MAX_BODY_BYTES) response.destroy()
    })
    response.on('error', () => undefined)
    response.on('close', resolve)
  })
  clearTimeout(timer)
  const coding = response.headers['content-encoding']
  // The request asked for no content coding. A coded body is not inflated, because its size would be unknown.
  if (coding !== undefined && coding !== 'identity') return `(a body in ${coding}, not read)`
  return Buffer.concat(chunks).toString().slice(0, MAX_REASON_CHARACTERS)
}
