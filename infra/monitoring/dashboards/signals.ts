/** The words that dashboards are written in: the usual queries, and the signals that are shown in several places. */
import type { METRICS } from '../../../app/observability/metrics-contract.ts'
import { max, quantile, rate, select, selectHistogram, selectRuntime, sum } from '../promql.ts'
import { FRESHNESS_LIMIT_SECONDS, WRITE_LIMIT_SECONDS } from '../slo.ts'
import { INSTANCE, type Panel, SINK, WINDOW } from './panels.ts'

type Series = Parameters<typeof select>[0]
/** Those that the contract gives the label `sink`. */
type SeriesOfSink = { [K in Series]: 'sink' extends (typeof METRICS)[K]['labels'][number] ? K : never }[Series]
type Label = Parameters<typeof sum>[1]
type Histogram = Parameters<typeof quantile>[1]
type Queries = Panel['queries']

/** How often a counter moves, over all instances, or for each value of the labels. */
export function perSecond(counter: Series, ...by: Label[]): string {
  return sum(rate(select(counter, INSTANCE), WINDOW), ...by)
}

/** How often a histogram is given a value. */
export function timesPerSecond(histogram: Histogram, ...by: Label[]): string {
  return sum(rate(selectHistogram(histogram, 'count', INSTANCE), WINDOW), ...by)
}

export function mean(histogram: Histogram): string {
  return `${sum(rate(selectHistogram(histogram, 'sum', INSTANCE), WINDOW))} / ${timesPerSecond(histogram)}`
}

/** A line for each share: 0.99 is `p99`. */
export function quantiles(histogram: Histogram, ...shares: number[]): Queries {
  return Object.fromEntries(shares.map((share) => [`p${share * 100}`, quantile(share, histogram, WINDOW, INSTANCE)]))
}

/** One line for each value of a label. */
export function by(label: 'instance' | 'sink' | 'reason' | 'kind', expression: string): Queries {
  return { [`{{${label}}}`]: expression }
}

/** For each chosen sink: how often a counter moves. */
export function perSecondOfSink(counter: SeriesOfSink, ...more: Label[]): string {
  return sum(rate(select(counter, SINK), WINDOW), 'sink', ...more)
}

/** For each chosen sink: the sum of a series over its instances. */
export function sumOfSink(series: SeriesOfSink): string {
  return sum(select(series, SINK), 'sink')
}

export const writeLatency: Panel = {
  title: 'Write latency',
  description: 'From a body read until its events are durable.',
  unit: 's',
  queries: quantiles('write_duration_seconds', 0.5, 0.99, 0.999),
  limits: [WRITE_LIMIT_SECONDS, WRITE_LIMIT_SECONDS],
}

export const ageOfOldest: Panel = {
  title: 'Age of the oldest',
  description: 'Of the events not yet settled.',
  unit: 's',
  queries: by('sink', max(select('delivery_lag_seconds', SINK), 'sink')),
  limits: [FRESHNESS_LIMIT_SECONDS, FRESHNESS_LIMIT_SECONDS],
}

export const notAccepted: Panel = {
  title: 'Events not accepted',
  description: 'By reason. `invalid` is the sender; `channel_full`, `log_full`, `disk_full` are us.',
  unit: 'cps',
  queries: by('reason', perSecond('events_rejected_total', 'reason')),
}

export const saturation: Panel = {
  title: 'Saturation',
  description: 'The fullest of event loop, channel and log.',
  unit: 'percentunit',
  queries: by('instance', select('saturation_ratio', INSTANCE)),
  limits: [0.7, 0.85],
}

export const cpu: Panel = {
  title: 'CPU',
  description: 'Cores in use.',
  unit: 'short',
  queries: by('instance', rate(selectRuntime('process_cpu_seconds_total'), WINDOW)),
}
