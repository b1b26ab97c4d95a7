/** Sends one request, compressed if that is worth it, with a time limit, and judges its answer. */
import { type Answer, judge } from './answer.ts'
import type { KeepaliveBudget } from './page.ts'
import type { Body } from './store.ts'

export interface Target {
  /** URL of the service; a path in it stays in front of `/v1/events`. */
  readonly url: URL
  readonly key: string | undefined
  /** Bodies from this size on are compressed; Infinity: never. */
  readonly gzipMinBytes: number
  readonly timeoutMs: number
  /** Set in a page: requests that fit into it outlive the page. */
  readonly keepalive: KeepaliveBudget | undefined
}

/** A body as it goes over the network. */
export interface Encoded {
  readonly body: Body
  readonly isGzip: boolean
}

export async function encode(body: Body, { gzipMinBytes }: Target): Promise<Encoded> {
  const isPlain = body.length < gzipMinBytes || typeof CompressionStream === 'undefined'
  if (isPlain) return { body, isGzip: false }
  const stream = new Blob([body]).stream().pipeThrough(new CompressionStream('gzip'))
  return { body: new Uint8Array(await new Response(stream).arrayBuffer()), isGzip: true }
}

/** Never rejects: without an answer, the result is `later`. @param stop ends the request early. */
export async function post({ body, isGzip }: Encoded, target: Target, stop: AbortSignal): Promise<Answer> {
  const { url, key, timeoutMs, keepalive } = target
  const outlives = keepalive?.take(body.length) ?? false
  const ending = new AbortController()
  const end = () => ending.abort(stop.reason)
  const timer = setTimeout(() => ending.abort(new Error(`not within ${timeoutMs} ms`)), timeoutMs)
  stop.addEventListener('abort', end)
  try {
    const response = await fetch(url, {
      method: 'POST',
      headers: {
        'content-type': 'application/x-ndjson',
        ...(key !== undefined && { authorization: `Bearer ${key}` }),
        ...(isGzip && { 'content-encoding': 'gzip' }),
      },
      body,
      keepalive: outlives,
      redirect: 'manual', // a redirect would turn the POST into a GET
      signal: ending.signal,
    })
    return await judge(response)
  } catch (error) {
    return { kind: 'later', reason: reasonOf(error), retryAfterMs: 0 }
  } finally {
    clearTimeout(timer)
    stop.removeEventListener('abort', end)
    if (outlives) keepalive?.giveBack(body.length)
  }
}

/** The reason of a failed fetch: the message `fetch failed` does not help, but Node sets the cause. */
function reasonOf(error: unknown): string {
  const { cause } = error as { cause?: unknown }
  if (cause instanceof Error) return `no answer: ${cause.message || String((cause as { code?: unknown }).code)}`
  return `no answer: ${error instanceof Error ? error.message : String(error)}`
}
