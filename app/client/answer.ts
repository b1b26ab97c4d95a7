/** What an answer of the service means for the events that were sent. */
import { retryAfterMs } from './retry.ts'

/** A problem document (RFC 9457). For any other answer, it is made from the status and the start of the text. */
export interface Problem {
  readonly type: string
  readonly title: string
  readonly status: number
  readonly detail?: string
  /** Events that were not accepted, by their index among the events of the problem. */
  readonly rejected?: readonly RejectedEvent[]
}

export interface RejectedEvent {
  readonly index: number
  readonly reason: string
  /** True when the event is valid but was not stored: it can be sent again. */
  readonly retryable?: boolean
}

export type Answer =
  /** Each event that is not in `rejected` is durable, or was already. */
  | { readonly kind: 'accepted'; readonly duplicates: number; readonly rejected: readonly RejectedEvent[] }
  /** The request will never be accepted. `isSplittable`: a part of its events may be. */
  | { readonly kind: 'refused'; readonly problem: Problem; readonly isSplittable: boolean }
  /** Refused for now, or unknown whether it arrived: it is sent again. */
  | { readonly kind: 'later'; readonly reason: string; readonly retryAfterMs: number }

/** Statuses for a retry, in addition to all of 5xx. */
const LATER = new Set([408, 425, 429])
/** 5xx statuses that a retry cannot fix: the server does not support the method, the encoding or the version. */
const NEVER = new Set([501, 505])
const SPLITTABLE = new Set([400, 413, 422])
const MAX_DETAIL_CHARACTERS = 200

/** @throws errors of reading the answer. */
export async function judge(response: Response): Promise<Answer> {
  const { status } = response
  const text = await response.text()
  const document = parse(text)
  const rejected = rejectedOf(document)
  if (status === 202 && rejected !== undefined && Number.isSafeInteger(document?.accepted)) {
    return { kind: 'accepted', duplicates: Number(document?.duplicates ?? 0), rejected }
  }
  const problem = problemOf(response, document, text)
  const isLater = LATER.has(status) || (status >= 500 && !NEVER.has(status)) || response.ok
  if (isLater) {
    const reason = `${status}: ${problem.detail ?? problem.title}`
    return { kind: 'later', reason, retryAfterMs: retryAfterMs(response.headers.get('retry-after')) }
  }
  // All events are refused, each with its own reason.
  if (status === 422 && rejected !== undefined && rejected.length > 0)
    return { kind: 'accepted', duplicates: 0, rejected }
  return { kind: 'refused', problem, isSplittable: SPLITTABLE.has(status) }
}

function problemOf(response: Response, document: Readonly<Record<string, unknown>> | undefined, text: string): Problem {
  const { status, statusText, type } = response
  if (typeof document?.title === 'string' && document.status === status) return document as unknown as Problem
  const isRedirect = type === 'opaqueredirect' || (status >= 300 && status < 400)
  const title = isRedirect ? 'Redirect' : statusText || `Status ${status}`
  const detail = isRedirect
    ? `the address redirects${locationOf(response)}: set url to where Millrace is`
    : `no answer of Millrace: ${JSON.stringify(text.slice(0, MAX_DETAIL_CHARACTERS))}`
  return { type: 'about:blank', title, status, detail }
}

function locationOf(response: Response): string {
  const location = response.headers.get('location')
  return location === null ? '' : ` to ${location}`
}

function rejectedOf(document: Readonly<Record<string, unknown>> | undefined): readonly RejectedEvent[] | undefined {
  const { rejected = [] } = document ?? {}
  if (!Array.isArray(rejected)) return undefined
  const isSound = rejected.every((one) => Number.isSafeInteger(one?.index) && typeof one?.reason === 'string')
  return isSound ? rejected : undefined
}

function parse(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value = JSON.parse(text)
    return typeof value === 'object' && value !== null ? value : undefined
  } catch {
    return undefined // not JSON, so not an answer of Millrace: the caller reports it
  }
}
