/** Options of a client, with ranges and defaults. */
import type { Event } from '../event/cloud-event.ts'
import type { Problem } from './answer.ts'
import { isPage, KeepaliveBudget, MAX_PAGE_BATCH_BYTES, pageAddress } from './page.ts'
import type { Target } from './post.ts'
import type { Retry } from './sender.ts'
import type { Store } from './store.ts'

/** Argument of `track`: any part of a CloudEvent. Missing attributes are filled in when it is tracked. */
export type TrackedEvent<Data = unknown> = Partial<Event<Data>>

/**
 * Why an event was not queued, or was given up:
 * - `full`: the queue holds `maxQueueEvents` or `maxQueueBytes`; the newest event is the one that is dropped
 * - `too-large`: larger than `maxQueueBytes` by itself
 * - `invalid`: not an object, or not valid in JSON (a cycle, a BigInt, a `toJSON` or a `traceparent` that throws)
 * - `closed`: tracked after `close`, or still in memory when the time of `close` was over
 * - `unreadable`: the store had accepted it but cannot read it back
 */
export type DropReason = 'full' | 'too-large' | 'invalid' | 'closed' | 'unreadable'

export interface ClientOptions {
  /** Address of the service, http or https; a path stays in front of `/v1/events`. In a page it may be relative. */
  readonly url: string
  /** API key, sent as `Authorization: Bearer`. Default: none. */
  readonly key?: string
  /** `source` of events without one, a URI reference (RFC 3986). Default: `millrace`. */
  readonly source?: string
  /** Most events in memory. 1 to 10,000,000, default 100,000. */
  readonly maxQueueEvents?: number
  /** Most bytes of these events, as JSON. 1 KiB to 4 GiB, default 32 MiB. */
  readonly maxQueueBytes?: number
  /** Most events in one request. 1 to 1,000,000, default 1000; the limit of the service is MAX_REQUEST_EVENTS. */
  readonly maxBatchEvents?: number
  /** Most bytes of one request before compression. 1 KiB to 64 MiB, default 256 KiB; in a page at most 30 KiB. */
  readonly maxBatchBytes?: number
  /** How long an event waits for more events, milliseconds. 0 to 3,600,000, default 100. */
  readonly maxBatchAgeMs?: number
  /** Requests from this size on are compressed; Infinity: never. Default 1024; never on the loopback. */
  readonly gzipMinBytes?: number
  /** Concurrent requests. 1 to 64, default 1; with more, events with the same key may change their order. */
  readonly concurrency?: number
  /** Timeout of one request with its answer, milliseconds. 1 to 3,600,000, default 30,000. */
  readonly requestTimeoutMs?: number
  /** Upper bound of the first delay after a failure, milliseconds. 1 to 3,600,000, default 200. */
  readonly retryBaseMs?: number
  /** Upper bound of delays that the service does not ask for, milliseconds. 1 to 3,600,000, default 30,000. */
  readonly retryMaxMs?: number
  /** Keeps batches after the end of the process or the page. Default: none; batches are only in memory. */
  readonly store?: Store
  /** Returns the current trace (https://www.w3.org/TR/trace-context/). Called for each event without `traceparent`. */
  readonly traceparent?: () => string | undefined
  /** Called with events that are dropped; empty when they cannot be read. Default: writes a line to the console. */
  readonly onDropped?: (events: readonly TrackedEvent[], reason: DropReason) => void
  /** Called with events that the service will never accept, and its reason. Default: writes a line to the console. */
  readonly onRejected?: (events: readonly TrackedEvent[], problem: Problem) => void
  /** Called when a request will be sent again after a delay. */
  readonly onRetry?: (retry: Retry) => void
  /** Called when the store failed; the events stay in memory. Default: writes a line to the console. */
  readonly onStoreFailure?: (error: unknown) => void
}

const KIB = 1024
const MIB = 1024 * KIB
const HOUR_MS = 3_600_000
const LOOPBACK = /^(?:localhost|.+\.localhost|127(?:\.\d{1,3}){3}|\[::1\])$/

/** Name → minimum, maximum, default. */
const RANGES = {
  maxQueueEvents: [1, 10_000_000, 100_000],
  maxQueueBytes: [KIB, 4096 * MIB, 32 * MIB],
  maxBatchEvents: [1, 1_000_000, 1000],
  maxBatchBytes: [KIB, 64 * MIB, 256 * KIB],
  maxBatchAgeMs: [0, HOUR_MS, 100],
  concurrency: [1, 64, 1],
  requestTimeoutMs: [1, HOUR_MS, 30_000],
  retryBaseMs: [1, HOUR_MS, 200],
  retryMaxMs: [1, HOUR_MS, 30_000],
} as const satisfies Partial<Record<keyof ClientOptions, readonly [number, number, number]>>

type Numbers = { readonly [Name in keyof typeof RANGES]: number }

/** @throws RangeError that names the option and its range. */
export function numbersOf(options: ClientOptions): Numbers {
  const entries = Object.entries(RANGES).map(([name, [least, most, fallback]]) => {
    const value = options[name as keyof Numbers] ?? fallback
    if (Number.isSafeInteger(value) && value >= least && value <= most) return [name, value] as const
    throw new RangeError(`${name} must be a whole number from ${least} to ${most}, not ${value}`)
  })
  const numbers = Object.fromEntries(entries) as Numbers
  return isPage ? { ...numbers, maxBatchBytes: Math.min(numbers.maxBatchBytes, MAX_PAGE_BATCH_BYTES) } : numbers
}

/** @throws TypeError for an invalid address; RangeError for an invalid number. */
export function targetOf(options: ClientOptions, timeoutMs: number): Target {
  const { key } = options
  const url = addressOf(options.url)
  const gzipMinBytes = options.gzipMinBytes ?? (LOOPBACK.test(url.hostname) ? Number.POSITIVE_INFINITY : KIB)
  if (!(gzipMinBytes >= 0)) throw new RangeError(`gzipMinBytes must be 0 or more, not ${gzipMinBytes}`)
  if (key !== undefined && !/^[\x21-\x7e]+$/.test(key)) {
    throw new TypeError(
      'key must be printable ASCII without spaces: take it as it stands in API_KEYS, without its name',
    )
  }
  return { url, key, gzipMinBytes, timeoutMs, keepalive: isPage ? new KeepaliveBudget() : undefined }
}

function addressOf(text: string): URL {
  const url = URL.canParse(text, pageAddress) ? new URL(text, pageAddress) : undefined
  if (url === undefined || !/^https?:$/.test(url.protocol) || url.username !== '' || url.password !== '') {
    throw new TypeError('url must be an http or https address without a password, such as "https://events.example.com"')
  }
  url.pathname = `${url.pathname.replace(/\/+$/, '')}/v1/events`
  url.search = ''
  url.hash = ''
  return url
}
