/**
 * The three promises to users as service level objectives, and the burn rates that alert on them.
 *
 * A burn rate says how many times faster than allowed the error budget of 30 days is being spent. Each alert needs a
 * long window (enough was lost to matter) and a short one (it is still being lost, and the alert ends soon after).
 *
 *     burn   long  short  budget spent when it fires   severity
 *     14.4×  1h    5m     2 %                          page
 *     6×     6h    30m    5 %                          page
 *     1×     3d    6h     10 %                         ticket
 *
 * Without traffic the ratios have no value, and nothing fires; with hardly any, a few bad requests do not count.
 */
import { REFUSE_REASONS } from '../../app/observability/metrics-contract.ts'
import { increase, max, rate, select, selectHistogram, sum } from './promql.ts'

export const WRITE_LIMIT_SECONDS = 0.03
export const FRESHNESS_LIMIT_SECONDS = 60

export type Severity = 'page' | 'ticket'

export interface Burn {
  /** Part of the alert's name. */
  readonly name: string
  readonly factor: number
  readonly long: Window
  readonly short: Window
  readonly severity: Severity
}

export const WINDOWS = ['5m', '30m', '1h', '6h', '3d'] as const
export type Window = (typeof WINDOWS)[number]

export const BURNS: readonly Burn[] = [
  { name: 'FastBurn', factor: 14.4, long: '1h', short: '5m', severity: 'page' },
  { name: 'Burn', factor: 6, long: '6h', short: '30m', severity: 'page' },
  { name: 'SlowBurn', factor: 1, long: '3d', short: '6h', severity: 'ticket' },
]

export interface Slo {
  /** Part of the alert's name. */
  readonly name: string
  /** Part of the recorded series' name. */
  readonly key: string
  /** Share that has to be good. */
  readonly objective: number
  /** What is bad, for the summary. */
  readonly bad: string
  readonly runbook: string
  /** Recorded before the shares, which read it. */
  readonly before?: readonly { readonly record: string; readonly expr: string }[]
  /** The share that was bad in the window (0–1). */
  errors(window: Window): string
  /** How many requests were bad in the window, for what is counted in requests. */
  badRequests?(window: Window): string
}

/** Fewer bad requests than this in the long window cause no page, even if they are a large share of little traffic. */
export const MIN_BAD_REQUESTS = 10

/** A rate over five minutes is recorded, and added up over the longest window: to read three days of every series costs more. */
interface Counted {
  readonly record: string
  readonly expr: string
  /** Only to be divided by another one of the same window. */
  rate(window: Window): string
  /** All in the window. */
  total(window: Window): string
}

const RECORDED_WINDOW: Window = '5m'
/** How often what is recorded is looked at again, over the longest window. */
const STEP = '1m'
const STEP_SECONDS = 60
const LONGEST_WINDOW: Window = '3d'

function counted(name: string, series: string): Counted {
  const record = `millrace:${name}:rate${RECORDED_WINDOW}`
  const added = `sum_over_time(${record}[${LONGEST_WINDOW}:${STEP}])`
  return {
    record,
    expr: sum(rate(series, RECORDED_WINDOW), 'role'),
    rate: (window) => {
      if (window === LONGEST_WINDOW) return added // of every minute: a share of it is the same
      return window === RECORDED_WINDOW ? record : sum(rate(series, window), 'role')
    },
    total: (window) =>
      window === LONGEST_WINDOW ? `${STEP_SECONDS} * ${added}` : sum(increase(series, window), 'role'),
  }
}

const serviceReasons = Object.entries(REFUSE_REASONS).flatMap(([reason, fault]) => (fault === 'service' ? reason : []))
const refused = counted(
  'requests_refused',
  select('requests_refused_total', { reason: `~${serviceReasons.join('|')}` }),
)
// A group of rules reads only what it has recorded itself, so each group records this under its own name.
const accepted = counted('requests_accepted', selectHistogram('write_duration_seconds', 'count'))
const writes = counted('writes', selectHistogram('write_duration_seconds', 'count'))
const withinLimit = counted(
  'writes_within_limit',
  selectHistogram('write_duration_seconds', 'bucket', { le: WRITE_LIMIT_SECONDS }),
)

/** 1 while the oldest event that a sink has not got is too old, else 0. */
export const STALE = {
  record: 'millrace:delivery_stale:bool',
  expr: max(`${select('delivery_lag_seconds')} > bool ${FRESHNESS_LIMIT_SECONDS}`, 'sink', 'role'),
} as const

export const SLOS: readonly Slo[] = [
  {
    name: 'Availability',
    key: 'availability',
    objective: 0.999,
    bad: 'of the requests that could have been accepted were refused',
    runbook: 'availability',
    before: [refused, accepted],
    // In requests: one that is refused before its body is read has no count of events.
    errors: (window) => `${refused.rate(window)} / (${refused.rate(window)} + ${accepted.rate(window)})`,
    badRequests: (window) => refused.total(window),
  },
  {
    name: 'WriteLatency',
    key: 'write_latency',
    objective: 0.99,
    bad: `of the writes took longer than ${WRITE_LIMIT_SECONDS * 1000} ms`,
    runbook: 'write-latency',
    before: [withinLimit, writes],
    errors: (window) => `1 - ${withinLimit.rate(window)} / ${writes.rate(window)}`,
    badRequests: (window) => `${writes.total(window)} - ${withinLimit.total(window)}`,
  },
  {
    name: 'Freshness',
    key: 'freshness',
    objective: 0.99,
    bad: `of the time the oldest event waiting for sink {{ $labels.sink }} was older than ${FRESHNESS_LIMIT_SECONDS} s`,
    runbook: 'freshness',
    before: [STALE],
    errors: (window) => `avg_over_time(${STALE.record}[${window}])`,
  },
]

export function recordOf(slo: Slo, window: Window): string {
  return `millrace:${slo.key}_errors:ratio_rate${window}`
}

/** How many times faster than allowed the budget is spent; 1 spends all of it, just. */
export function burnOf(slo: Slo, window: Window): string {
  return `${recordOf(slo, window)} / ${budgetOf(slo)}`
}

export function budgetOf({ objective }: Slo): number {
  return Number((1 - objective).toFixed(6))
}
