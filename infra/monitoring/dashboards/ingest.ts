/** From the request to the disk: what came, what was refused and why, the channel, the groups and their syncs. */
import { select, sum } from '../promql.ts'
import { chart, INSTANCE, page } from './panels.ts'
import { by, mean, notAccepted, perSecond, quantiles, timesPerSecond, writeLatency } from './signals.ts'

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
        received: perSecond('events_received_total'),
        committed: perSecond('events_committed_total'),
        rejected: perSecond('events_rejected_total'),
      },
    }),
    chart({
      title: 'Requests',
      description: 'Accepted (all or part of their events) and refused as a whole.',
      unit: 'reqps',
      queries: {
        accepted: timesPerSecond('write_duration_seconds'),
        refused: perSecond('requests_refused_total'),
      },
    }),
    chart(writeLatency),
    chart(notAccepted),
    chart({
      title: 'Requests refused',
      description: 'By reason.',
      unit: 'reqps',
      queries: by('reason', perSecond('requests_refused_total', 'reason')),
    }),
    chart({
      title: 'In flight',
      description: 'Events received and not yet durable.',
      unit: 'short',
      queries: by('instance', sum(select('events_in_flight', INSTANCE), 'instance')),
    }),
    chart({
      title: 'Channel fill',
      description: 'Share of the events that the channel can hold. Full means 503.',
      unit: 'percentunit',
      queries: by('instance', `${select('channel_events', INSTANCE)} / ${select('channel_capacity_events', INSTANCE)}`),
      max: 1,
    }),
    chart({
      title: 'Channel bytes',
      description: 'Waiting for the disk.',
      unit: 'bytes',
      queries: by('instance', select('channel_bytes', INSTANCE)),
    }),
    chart({
      title: 'Events in a group',
      description: 'Made durable by one sync. Grows with the load: that is how throughput outgrows the disk.',
      unit: 'short',
      queries: { mean: mean('log_group_events'), ...quantiles('log_group_events', 0.5, 0.99) },
    }),
    chart({
      title: 'Sync latency',
      description: 'Synchronous write of one group.',
      unit: 's',
      queries: quantiles('log_sync_duration_seconds', 0.5, 0.99),
    }),
    chart({
      title: 'Syncs',
      description: 'Groups committed a second.',
      unit: 'cps',
      queries: by('instance', timesPerSecond('log_sync_duration_seconds', 'instance')),
    }),
    chart({
      title: 'Log size',
      description: 'Bytes of all segments.',
      unit: 'bytes',
      queries: by('instance', select('log_bytes', INSTANCE)),
    }),
    chart({
      title: 'Log fill',
      description: 'Share of the limit that a sink still needs. Full means 503.',
      unit: 'percentunit',
      queries: by('instance', select('log_fill_ratio', INSTANCE)),
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
