/** Is it well? The three promises, what flows, and what stands in the way. */
import { max, quantile, rate, select, sum, UP } from '../promql.ts'
import { burnOf, FRESHNESS_LIMIT_SECONDS, SLOS, WRITE_LIMIT_SECONDS } from '../slo.ts'
import { chart, INSTANCE, page, SINK, stat, WINDOW } from './panels.ts'

const perSecond = (series: string, ...by: ('sink' | 'reason')[]) => sum(rate(series, WINDOW), ...by)
const burns = (window: '5m' | '1h' | '3d') =>
  Object.fromEntries(SLOS.map((slo) => [`${slo.name} ${window}`, burnOf(slo, window)]))

export const overview = page({
  uid: 'millrace-overview',
  title: 'Millrace: overview',
  description: 'The promises to users, what flows through, and what stands in the way.',
  panels: [
    stat({
      title: 'Instances',
      description: 'That answer their scrapes.',
      unit: 'short',
      queries: { up: `count(${UP} == 1)` },
    }),
    stat({
      title: 'Events in',
      description: 'Received a second.',
      unit: 'cps',
      queries: { received: perSecond(select('events_received_total', INSTANCE)) },
    }),
    stat({
      title: 'Write p99',
      description: `Time until durable; ${WRITE_LIMIT_SECONDS * 1000} ms is the objective.`,
      unit: 's',
      queries: { p99: quantile(0.99, 'write_duration_seconds', WINDOW, INSTANCE) },
      limits: [WRITE_LIMIT_SECONDS / 2, WRITE_LIMIT_SECONDS],
    }),
    stat({
      title: 'Oldest undelivered',
      description: `Age of the oldest event that a sink has not got; ${FRESHNESS_LIMIT_SECONDS} s is the objective.`,
      unit: 's',
      queries: { age: max(select('delivery_lag_seconds', { ...INSTANCE, ...SINK })) },
      limits: [FRESHNESS_LIMIT_SECONDS / 2, FRESHNESS_LIMIT_SECONDS],
    }),
    stat({
      title: 'Dead letters',
      description: 'Waiting to be looked at and replayed.',
      unit: 'short',
      queries: { pending: sum(select('dead_letters_pending', { ...INSTANCE, ...SINK })) },
      limits: [1, 1000],
    }),
    stat({
      title: 'Saturation',
      description: 'The fullest of event loop, channel and log on any instance; what autoscaling looks at.',
      unit: 'percentunit',
      queries: { saturation: max(select('saturation_ratio', INSTANCE)) },
      limits: [0.7, 0.85],
    }),
    chart({
      title: 'Events',
      description: 'In, durable, and delivered by each sink. At rest they are equal but for what is rejected.',
      unit: 'cps',
      queries: {
        received: perSecond(select('events_received_total', INSTANCE)),
        committed: perSecond(select('events_committed_total', INSTANCE)),
        'delivered to {{sink}}': perSecond(select('events_delivered_total', { ...INSTANCE, ...SINK }), 'sink'),
      },
    }),
    chart({
      title: 'Write latency',
      description: 'From a body read until its events are durable.',
      unit: 's',
      queries: Object.fromEntries(
        [0.5, 0.99, 0.999].map((share) => [
          `p${share * 100}`,
          quantile(share, 'write_duration_seconds', WINDOW, INSTANCE),
        ]),
      ),
      limits: [WRITE_LIMIT_SECONDS, WRITE_LIMIT_SECONDS],
    }),
    chart({
      title: 'Age of the oldest undelivered event',
      description: 'By sink. It rises while a sink is slow or fails.',
      unit: 's',
      queries: { '{{sink}}': max(select('delivery_lag_seconds', { ...INSTANCE, ...SINK }), 'sink') },
      limits: [FRESHNESS_LIMIT_SECONDS, FRESHNESS_LIMIT_SECONDS],
    }),
    chart({
      title: 'Burn rates, last hour',
      description: 'How many times faster than allowed each error budget is spent. 14.4 pages.',
      unit: 'short',
      queries: burns('1h'),
      limits: [1, 14.4],
    }),
    chart({
      title: 'Burn rates, three days',
      description: 'Above 1 the budget does not last.',
      unit: 'short',
      queries: burns('3d'),
      limits: [1, 1],
    }),
    chart({
      title: 'Not accepted',
      description: 'Events rejected, by reason.',
      unit: 'cps',
      queries: { '{{reason}}': perSecond(select('events_rejected_total', INSTANCE), 'reason') },
    }),
  ],
})
