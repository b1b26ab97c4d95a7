/** What a client can be told, with ranges and defaults. */
import type { Event } from '../event/cloud-event.ts'
import type { Problem } from './answer.ts'
import { isPage, KeepaliveBudget, MAX_PAGE_BATCH_BYTES, pageAddress } from './page.ts'
import type { Target } from './post.ts'
import type { Retry } from './sender.ts'
import type { Store } from './store.ts'

/** What `track` takes: any part of a CloudEvent. What is missing is filled in when it is tracked. */
export type TrackedEvent<Data = unknown> = Partial<Event<Data>>

/**
 * Why an event was not queued, or is given up:
 * - `full`: the queue holds `maxQueueEvents` or `maxQueueBytes`; the newest event is the one that is dropped
 * - `too-large`: larger than `maxQueueBytes` by itself
 * - `invalid`: no object, or JSON cannot hold it (a cycle, a BigInt, a `toJSON` or a `traceparent` that throws)
 * - `closed`: tracked after `close`, or still in memory when the time of `close` was over
 * - `unreadable`: the store took it and cannot give it back
 */
export type DropReason = 'full' | 'too-large' | 'invalid' | 'closed' | 'unreadable'

export interface ClientOptions {
  /** Address of the service, http or https; a path stays in front of `/v1/events`. In a page it may be relative. */
  readonly url: string
  /** API key, sent as `Authorization: Bearer`. Default: none. */
  readonly key?: string
  /** Who sends: `source` of events that have none, a URI reference (RFC 3986). Default: `millrace`. */
  readonly source?: string
  /** Events in memory. 1 to 10,000,000, default 100,000. */
  readonly maxQueueEvents?: number
  /** Bytes of them, as JSON. 1 KiB to 4 GiB, default 32 MiB. */
  readonly maxQueueBytes?: number
  /** Events in one request. 1 to 1,000,000, default 1000; the service takes MAX_REQUEST_EVENTS. */
  readonly maxBatchEvents?: number
  /** Bytes of one request before compression. 1 KiB to 64 MiB, default 256 KiB; in a page never more than 30 KiB. */
  readonly maxBatchBytes?: number
  /** How long an event waits for others, milliseconds. 0 to 3,600,000, default 100. */
  readonly maxBatchAgeMs?: number
  /** Requests from this size are compressed; Infinity: none. Default 1024, and none to the loopback. */
  readonly gzipMinBytes?: number
  /** Requests at a time. 1 to 64, default 1; with more, events of the same key may overtake each other. */
  readonly concurrency?: number
  /** For one request with its answer, milliseconds. 1 to 3,600,000, default 30,000. */
  readonly requestTimeoutMs?: number
  /** Upper bound of the first wait after a failure, milliseconds. 1 to 3,600,000, default 200. */
  readonly retryBaseMs?: number
  /** Upper bound of any wait that the service does not ask for, milliseconds. 1 to 3,600,000, default 30,000. */
  readonly retryMaxMs?: number
  /** Keeps batches over the end of the process or the page. Default: memory alone. */
  readonly store?: Store
  /** The current trace (https://www.w3.org/TR/trace-context/), asked for each event that has no `traceparent`. */
  readonly traceparent?: () => string | undefined
  /** Events that are not sent (any more); empty when they cannot be read. Default: a line on the console. */
  readonly onDropped?: (events: readonly TrackedEvent[], reason: DropReason) => void
  /** Events that the service will never take, and its reason. Default: a line on the console. */
  readonly onRejected?: (events: readonly TrackedEvent[], problem: Problem) => void
  /** A request is sent again after a wait. */
  readonly onRetry?: (retry: Retry) => void
  /** The store failed; the events stay in memory. Default: a line on the console. */
  readonly onStoreFailure?: (error: unknown) => void
}

const KIB = 1024
const MIB = 1024 * KIB
const HOUR_MS = 3_600_000
const LOOPBACK = /^(?:localhost|.+\.localhost|127(?:\.\d{1,3}){3}|\[::1\])$/

/** Name → least, most, default. */
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

/** @throws TypeError when the address, and RangeError when a number cannot be used. */
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
