/** Is it well? The three promises, what flows, and what stands in the way. */
import { max, quantile, select, sum, UP } from '../promql.ts'
import { burnOf, FRESHNESS_LIMIT_SECONDS, SLOS, WRITE_LIMIT_SECONDS } from '../slo.ts'
import { chart, INSTANCE, page, SINK, stat, WINDOW } from './panels.ts'
import { ageOfOldest, notAccepted, perSecond, perSecondOfSink, saturation, writeLatency } from './signals.ts'

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
      queries: { received: perSecond('events_received_total') },
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
      queries: { age: max(select('delivery_lag_seconds', SINK)) },
      limits: [FRESHNESS_LIMIT_SECONDS / 2, FRESHNESS_LIMIT_SECONDS],
    }),
    stat({
      title: 'Dead letters',
      description: 'Waiting to be looked at and replayed.',
      unit: 'short',
      queries: { pending: sum(select('dead_letters_pending', SINK)) },
      limits: [1, 1000],
    }),
    stat({
      ...saturation,
      description: 'The fullest of event loop, channel and log on any instance; what autoscaling looks at.',
      queries: { saturation: max(select('saturation_ratio', INSTANCE)) },
    }),
    chart({
      title: 'Events',
      description: 'In, durable, and delivered by each sink. At rest they are equal but for what is rejected.',
      unit: 'cps',
      queries: {
        received: perSecond('events_received_total'),
        committed: perSecond('events_committed_total'),
        'delivered to {{sink}}': perSecondOfSink('events_delivered_total'),
      },
    }),
    chart(writeLatency),
    chart({
      ...ageOfOldest,
      title: 'Age of the oldest undelivered event',
      description: 'By sink. It rises while a sink is slow or fails.',
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
    chart({ ...notAccepted, title: 'Not accepted', description: 'Events rejected, by reason.' }),
  ],
})
