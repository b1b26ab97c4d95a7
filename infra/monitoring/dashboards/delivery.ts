/** From the log to the sinks: each sink's pace, lag, attempts and dead letters. */
import { LAG_RECORD } from '../alerts.ts'
import { increase, max, rate, select, sum } from '../promql.ts'
import { FRESHNESS_LIMIT_SECONDS, STALE } from '../slo.ts'
import { chart, INSTANCE, page, SINK, stat, WINDOW } from './panels.ts'

const FILTER = { ...INSTANCE, ...SINK }
const perSecond = (series: string, ...by: ('sink' | 'outcome')[]) => sum(rate(series, WINDOW), ...by)

export const delivery = page({
  uid: 'millrace-delivery',
  title: 'Millrace: delivery',
  description: 'From the log to the sinks.',
  panels: [
    stat({
      title: 'State',
      description: '1 while the sink is being retried.',
      unit: 'none',
      queries: { '{{sink}}': max(select('sink_failing', FILTER), 'sink') },
      limits: [1, 1],
    }),
    stat({
      title: 'Waiting',
      description: 'Durable events that the sink has not got.',
      unit: 'short',
      queries: { '{{sink}}': LAG_RECORD.record },
    }),
    stat({
      title: 'Late',
      description: `1 while the oldest is older than ${FRESHNESS_LIMIT_SECONDS} s.`,
      unit: 'none',
      queries: { '{{sink}}': STALE.record },
      limits: [1, 1],
    }),
    stat({
      title: 'Dead letters',
      description: 'Not replayed yet.',
      unit: 'short',
      queries: { '{{sink}}': sum(select('dead_letters_pending', FILTER), 'sink') },
      limits: [1, 1000],
    }),
    stat({
      title: 'Replayed',
      description: 'Dead letters delivered after all, since the start.',
      unit: 'short',
      queries: { '{{sink}}': sum(select('events_replayed_total', FILTER), 'sink') },
    }),
    stat({
      title: 'Damaged',
      description: 'Events lost to damage of the log.',
      unit: 'short',
      queries: { '{{sink}}': sum(select('events_damaged_total', FILTER), 'sink') },
      limits: [1, 1],
    }),
    chart({
      title: 'Delivered',
      description: 'Events that the sink has confirmed.',
      unit: 'cps',
      queries: { '{{sink}}': perSecond(select('events_delivered_total', FILTER), 'sink') },
    }),
    chart({
      title: 'Lag',
      description: 'Durable events not yet settled.',
      unit: 'short',
      queries: { '{{sink}}': sum(select('delivery_lag_events', FILTER), 'sink') },
    }),
    chart({
      title: 'Age of the oldest',
      description: 'Of the events not yet settled.',
      unit: 's',
      queries: { '{{sink}}': max(select('delivery_lag_seconds', FILTER), 'sink') },
      limits: [FRESHNESS_LIMIT_SECONDS, FRESHNESS_LIMIT_SECONDS],
    }),
    chart({
      title: 'Attempts',
      description: 'Batches given to a sink, by what came of it. `unavailable` spends nobody’s attempts.',
      unit: 'cps',
      queries: { '{{sink}} {{outcome}}': perSecond(select('delivery_attempts_total', FILTER), 'sink', 'outcome') },
    }),
    chart({
      title: 'New dead letters',
      description: 'In the time between two points.',
      unit: 'short',
      queries: { '{{sink}}': sum(increase(select('events_dead_lettered_total', FILTER), WINDOW), 'sink') },
    }),
    chart({
      title: 'Time to catch up',
      description: 'Lag divided by the pace of delivery; without a pace there is no answer.',
      unit: 's',
      queries: {
        '{{sink}}': `${sum(select('delivery_lag_events', FILTER), 'sink')} / ${perSecond(select('events_delivered_total', FILTER), 'sink')}`,
      },
    }),
  ],
})
