/** Sends one request with events, and retries until an answer tells the outcome. */
import { setTimeout as sleep } from 'node:timers/promises'
import { systemCode } from '../errors.ts'
import { addressOf, notOurs, reasonOf } from './address.ts'

export interface Target {
  readonly url: URL
  readonly headers: Readonly<Record<string, string>>
}

export interface Rejected {
  /** Index of the event in the request. */
  readonly index: number
  readonly reason: string
  /** True when the event is valid but was not stored: it can be sent again. */
  readonly retryable?: boolean
}

export type Answer =
  | {
      readonly kind: 'taken'
      readonly accepted: number
      readonly duplicates: number
      readonly rejected: readonly Rejected[]
    }
  /**
   * The whole request was refused. Sent in smaller parts, only the faulty events are. `isTooLarge`: because of its
   * size.
   */
  | { readonly kind: 'refused'; readonly problem: string; readonly isTooLarge: boolean }
  /** Every other request would fail in the same way. */
  | { readonly kind: 'hopeless'; readonly problem: string }

/** Counts of retries: after a temporary refusal, or when it is unknown whether the request arrived. */
export interface Retries {
  refused: number
  unanswered: number
}

const MAX_TRIES = 20
const TRY_WITHIN_MS = 60_000
/** Without any answer, the request is given up after this time. */
const SILENT_WITHIN_MS = 60_000
const PAUSE_MS = 200
const MAX_PAUSE_MS = 60_000
/** Tries for a large body: a server may answer a body that is too large by breaking the connection. */
const BROKEN_TRIES = 3
const BROKEN = new Set<string | undefined>(['EPIPE', 'ECONNRESET', 'UND_ERR_SOCKET'])
/** Errors after which the request was certainly not received. */
const UNSENT = new Set<string | undefined>(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'UND_ERR_CONNECT_TIMEOUT'])
/** Temporary refusals: of Millrace itself, and of a proxy in front of a Millrace that is starting. */
const NOT_NOW = new Set([429, 500, 502, 503, 504])
const REFUSED = new Set([400, 413, 422])

/**
 * @param usualBytes a server may refuse a larger body by breaking the connection.
 * @param signal ends the wait between retries.
 */
export async function post(
  { url, headers }: Target,
  body: Buffer,
  usualBytes: number,
  retries: Retries,
  signal: AbortSignal,
): Promise<Answer> {
  const startedAt = performance.now()
  for (let tries = 1; ; tries++) {
    let problem: string
    let pauseMs = PAUSE_MS
    let isSilent = false
    try {
      const response = await fetch(url, {
        method: 'POST',
        headers: { 'content-type': 'application/x-ndjson', ...headers },
        body: body as Uint8Array<ArrayBuffer>,
        redirect: 'manual', // a redirect would turn the POST into a GET
        signal: AbortSignal.timeout(TRY_WITHIN_MS),
      })
      const text = await response.text()
      if (!NOT_NOW.has(response.status)) return judge(url, response, text)
      problem = problemOf(response, text) ?? notOurs(url, response, text)
      pauseMs = retryAfterMs(response.headers.get('retry-after')) ?? 1000
      retries.refused += 1
    } catch (error) {
      const code = systemCode(error instanceof Error ? error.cause : undefined)
      problem = `no answer from ${addressOf(url)} (${reasonOf(error)}): is it running?`
      if (BROKEN.has(code) && body.length > usualBytes && tries >= BROKEN_TRIES) {
        const broken = `${body.length} bytes: the connection was broken off ${tries} times, as for a body that is too large`
        return { kind: 'refused', problem: broken, isTooLarge: true }
      }
      isSilent = true
      if (!UNSENT.has(code)) retries.unanswered += 1
    }
    const isOver = tries === MAX_TRIES || (isSilent && performance.now() - startedAt > SILENT_WITHIN_MS)
    if (isOver || signal.aborted) return { kind: 'hopeless', problem }
    await sleep(pauseMs * (0.5 + Math.random() / 2), undefined, { signal }).catch(() => undefined)
  }
}

function judge(url: URL, response: Response, text: string): Answer {
  const { status } = response
  const answer = parse(text)
  const rejected = rejectedOf(answer)
  if (status === 202 && rejected && Number.isSafeInteger(answer?.accepted)) {
    const { accepted, duplicates = 0 } = answer as { accepted: number; duplicates?: number }
    return { kind: 'taken', accepted, duplicates, rejected }
  }
  const problem = problemOf(response, text)
  if (status === 422 && problem !== undefined && rejected && rejected.length > 0) {
    return { kind: 'taken', accepted: 0, duplicates: 0, rejected }
  }
  // A proxy answers 413 with its own text.
  if (status === 413) return { kind: 'refused', problem: problem ?? notOurs(url, response, text), isTooLarge: true }
  if (REFUSED.has(status) && problem !== undefined) return { kind: 'refused', problem, isTooLarge: false }
  return { kind: 'hopeless', problem: problem ?? notOurs(url, response, text) }
}

/** The text of a problem document (RFC 9457); undefined for any other answer. */
function problemOf({ status }: Response, text: string): string | undefined {
  const detail = parse(text)?.detail
  return typeof detail === 'string' ? `${status}: ${detail}` : undefined
}

function rejectedOf(answer: Readonly<Record<string, unknown>> | undefined): readonly Rejected[] | undefined {
  const { rejected = [] } = answer ?? {}
  if (!Array.isArray(rejected)) return undefined
  const isSound = rejected.every((one) => Number.isSafeInteger(one?.index) && typeof one?.reason === 'string')
  return isSound ? rejected : undefined
}

function parse(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value = JSON.parse(text)
    return typeof value === 'object' && value !== null ? value : undefined
  } catch {
    return undefined
  }
}

/** Seconds or an HTTP date (RFC 9110, section 10.2.3), at most a minute; undefined for neither. */
function retryAfterMs(header: string | null): number | undefined {
  if (header === null) return undefined
  const waitMs = /^\d+$/.test(header) ? Number(header) * 1000 : Date.parse(header) - Date.now()
  return Number.isNaN(waitMs) ? undefined : Math.min(MAX_PAUSE_MS, Math.max(PAUSE_MS, waitMs))
}
