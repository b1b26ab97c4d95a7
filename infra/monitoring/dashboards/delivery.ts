/** From the log to the sinks: each sink's pace, lag, attempts and dead letters. */
import { LAG_RECORD } from '../alerts.ts'
import { increase, max, select, sum } from '../promql.ts'
import { FRESHNESS_LIMIT_SECONDS, STALE } from '../slo.ts'
import { chart, page, SINK, stat, WINDOW } from './panels.ts'
import { ageOfOldest, by, perSecondOfSink, sumOfSink } from './signals.ts'

export const delivery = page({
  uid: 'millrace-delivery',
  title: 'Millrace: delivery',
  description: 'From the log to the sinks.',
  panels: [
    stat({
      title: 'State',
      description: '1 while the sink is being retried.',
      unit: 'none',
      queries: by('sink', max(select('sink_failing', SINK), 'sink')),
      limits: [1, 1],
    }),
    stat({
      title: 'Waiting',
      description: 'Durable events that the sink has not got.',
      unit: 'short',
      queries: by('sink', LAG_RECORD.record),
    }),
    stat({
      title: 'Late',
      description: `1 while the oldest is older than ${FRESHNESS_LIMIT_SECONDS} s.`,
      unit: 'none',
      queries: by('sink', STALE.record),
      limits: [1, 1],
    }),
    stat({
      title: 'Dead letters',
      description: 'Not replayed yet.',
      unit: 'short',
      queries: by('sink', sumOfSink('dead_letters_pending')),
      limits: [1, 1000],
    }),
    stat({
      title: 'Replayed',
      description: 'Dead letters delivered by a replay, since the start.',
      unit: 'short',
      queries: by('sink', sumOfSink('events_replayed_total')),
    }),
    stat({
      title: 'Damaged',
      description: 'Events lost to damage of the log.',
      unit: 'short',
      queries: by('sink', sumOfSink('events_damaged_total')),
      limits: [1, 1],
    }),
    chart({
      title: 'Delivered',
      description: 'Events that the sink has confirmed.',
      unit: 'cps',
      queries: by('sink', perSecondOfSink('events_delivered_total')),
    }),
    chart({
      title: 'Lag',
      description: 'Durable events not yet settled.',
      unit: 'short',
      queries: by('sink', sumOfSink('delivery_lag_events')),
    }),
    chart(ageOfOldest),
    chart({
      title: 'Attempts',
      description: 'Batches given to a sink, by outcome. `unavailable` costs no event an attempt.',
      unit: 'cps',
      queries: { '{{sink}} {{outcome}}': perSecondOfSink('delivery_attempts_total', 'outcome') },
    }),
    chart({
      title: 'New dead letters',
      description: 'In the time between two points.',
      unit: 'short',
      queries: by('sink', sum(increase(select('events_dead_lettered_total', SINK), WINDOW), 'sink')),
    }),
    chart({
      title: 'Time to catch up',
      description: 'Lag divided by the pace of delivery; without a pace there is no answer.',
      unit: 's',
      queries: by('sink', `${sumOfSink('delivery_lag_events')} / ${perSecondOfSink('events_delivered_total')}`),
    }),
  ],
})
