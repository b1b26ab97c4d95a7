/** From the request to the disk: what came, what was refused and why, the channel, the groups and their syncs. */
import { quantile, rate, select, selectHistogram, sum } from '../promql.ts'
import { WRITE_LIMIT_SECONDS } from '../slo.ts'
import { chart, INSTANCE, page, WINDOW } from './panels.ts'

const quantiles = (key: Parameters<typeof quantile>[1], shares: readonly number[]) =>
  Object.fromEntries(shares.map((share) => [`p${share * 100}`, quantile(share, key, WINDOW, INSTANCE)]))
const mean = (key: Parameters<typeof quantile>[1]) =>
  `${sum(rate(selectHistogram(key, 'sum', INSTANCE), WINDOW))} / ${sum(rate(selectHistogram(key, 'count', INSTANCE), WINDOW))}`

export const ingest = page({
  uid: 'millrace-ingest',
  title: 'Millrace: ingest',
  description: 'From the request to the disk.',
  panels: [
    chart({
      title: 'Events',
      description: 'Received, made durable, and not accepted.',
      unit: 'cps',
      queries: {
        received: sum(rate(select('events_received_total', INSTANCE), WINDOW)),
        committed: sum(rate(select('events_committed_total', INSTANCE), WINDOW)),
        rejected: sum(rate(select('events_rejected_total', INSTANCE), WINDOW)),
      },
    }),
    chart({
      title: 'Requests',
      description: 'Accepted (all or part of their events) and refused as a whole.',
      unit: 'reqps',
      queries: {
        accepted: sum(rate(selectHistogram('write_duration_seconds', 'count', INSTANCE), WINDOW)),
        refused: sum(rate(select('requests_refused_total', INSTANCE), WINDOW)),
      },
    }),
    chart({
      title: 'Write latency',
      description: 'From a body read until its events are durable.',
      unit: 's',
      queries: quantiles('write_duration_seconds', [0.5, 0.99, 0.999]),
      limits: [WRITE_LIMIT_SECONDS, WRITE_LIMIT_SECONDS],
    }),
    chart({
      title: 'Events not accepted',
      description: 'By reason. `invalid` is the sender; `channel_full`, `log_full`, `disk_full` are us.',
      unit: 'cps',
      queries: { '{{reason}}': sum(rate(select('events_rejected_total', INSTANCE), WINDOW), 'reason') },
    }),
    chart({
      title: 'Requests refused',
      description: 'By reason.',
      unit: 'reqps',
      queries: { '{{reason}}': sum(rate(select('requests_refused_total', INSTANCE), WINDOW), 'reason') },
    }),
    chart({
      title: 'In flight',
      description: 'Events received and not yet durable.',
      unit: 'short',
      queries: { '{{instance}}': sum(select('events_in_flight', INSTANCE), 'instance') },
    }),
    chart({
      title: 'Channel fill',
      description: 'Share of the events that the channel can hold. Full means 503.',
      unit: 'percentunit',
      queries: {
        '{{instance}}': `${select('channel_events', INSTANCE)} / ${select('channel_capacity_events', INSTANCE)}`,
      },
      max: 1,
    }),
    chart({
      title: 'Channel bytes',
      description: 'Waiting for the disk.',
      unit: 'bytes',
      queries: { '{{instance}}': select('channel_bytes', INSTANCE) },
    }),
    chart({
      title: 'Events in a group',
      description: 'Made durable by one sync. Grows with the load: that is how throughput outgrows the disk.',
      unit: 'short',
      queries: { mean: mean('log_group_events'), ...quantiles('log_group_events', [0.5, 0.99]) },
    }),
    chart({
      title: 'Sync latency',
      description: 'fdatasync of one group.',
      unit: 's',
      queries: quantiles('log_sync_duration_seconds', [0.5, 0.99]),
    }),
    chart({
      title: 'Syncs',
      description: 'Groups committed a second.',
      unit: 'cps',
      queries: {
        '{{instance}}': sum(rate(selectHistogram('log_sync_duration_seconds', 'count', INSTANCE), WINDOW), 'instance'),
      },
    }),
    chart({
      title: 'Log size',
      description: 'Bytes of all segments.',
      unit: 'bytes',
      queries: { '{{instance}}': select('log_bytes', INSTANCE) },
    }),
    chart({
      title: 'Log fill',
      description: 'Share of the limit that a sink still needs. Full means 503.',
      unit: 'percentunit',
      queries: { '{{instance}}': select('log_fill_ratio', INSTANCE) },
      limits: [0.6, 0.8],
      max: 1,
    }),
    chart({
      title: 'Log failures and damage',
      description: 'Failed writes or syncs, and damaged stretches found since the start.',
      unit: 'short',
      queries: {
        'failures {{instance}}': select('log_failures_total', INSTANCE),
        'damages {{instance}}': select('log_damages_total', INSTANCE),
      },
    }),
  ],
})
