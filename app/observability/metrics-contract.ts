/**
 * The metrics contract: every metric that Millrace exports, with its type, unit, labels and help. The registry
 * (metrics.ts) and docs/metrics.md are built from this table. Rules and dashboards take their names from it, so a
 * metric that is renamed here breaks their build, and not an alert in production.
 *
 * Names are without the prefix; {@link metricName} adds it. No label is unbounded: its values are listed here or come
 * from the configuration.
 */
import { ERRORS, type ErrorCode, MillraceError } from '../errors.ts'

const PREFIX = 'millrace_'

export const WRITE_BUCKETS_SECONDS = [
  0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.02, 0.03, 0.05, 0.1, 0.25, 0.5, 1, 5,
] as const
export const SYNC_BUCKETS_SECONDS = [
  0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1,
] as const
const GROUP_BUCKETS_EVENTS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 50_000] as const

/** Why a request was answered with an error: the error code in lower case, or a reason for errors without a code. */
export type RefuseReason = Lowercase<ErrorCode> | 'internal' | 'other'
/** Why an event was not accepted. */
export type RejectReason = RefuseReason | 'invalid' | 'duplicate' | 'interrupted'

/** Who caused a refusal. Only refusals caused by the service count against its availability. */
export const REFUSE_REASONS = {
  malformed: 'client',
  unauthorized: 'client',
  signature_invalid: 'client',
  body_too_large: 'client',
  too_many_events: 'client',
  unsupported_type: 'client',
  unsupported_encoding: 'client',
  no_valid_event: 'client',
  channel_item_too_large: 'client',
  expectation_failed: 'client',
  forbidden: 'client',
  out_of_scope: 'client',
  headers_too_large: 'client',
  method_not_allowed: 'client',
  not_found: 'client',
  request_timeout: 'client',
  unsupported_http_version: 'client',
  unsupported_transfer_coding: 'client',
  over_quota: 'client',
  other: 'client',
  overloaded: 'service',
  auth_unavailable: 'service',
  channel_full: 'service',
  channel_closed: 'service',
  shutting_down: 'service',
  log_full: 'service',
  disk_full: 'service',
  log_unavailable: 'service',
  log_failed: 'service',
  log_closed: 'service',
  internal: 'service',
} as const satisfies Partial<Record<RefuseReason, 'client' | 'service'>>

/**
 * Series that exist from the start, with 0: a rate over a series that appears with its first event misses that event.
 */
export const REJECT_REASONS = [
  'invalid',
  'duplicate',
  'too_many_events',
  'over_quota',
  'channel_full',
  'channel_item_too_large',
  'shutting_down',
  'log_full',
  'disk_full',
  'log_unavailable',
  'log_failed',
  'internal',
  'interrupted',
] as const satisfies readonly RejectReason[]

/** All possible reasons. */
export const REASONS: readonly RejectReason[] = [
  ...new Set<RejectReason>([
    ...REJECT_REASONS,
    ...(Object.keys(REFUSE_REASONS) as RefuseReason[]),
    ...(Object.keys(ERRORS) as ErrorCode[]).map(labelOf),
  ]),
]

export const ATTEMPT_OUTCOMES = ['delivered', 'retried', 'unavailable', 'dead_lettered'] as const
export type AttemptOutcome = (typeof ATTEMPT_OUTCOMES)[number]

/**
 * Result of a request to a hook: event durable, challenge answered, signature invalid, or refused for another reason.
 */
export const HOOK_RESULTS = ['stored', 'challenged', 'unverified', 'refused'] as const
/** Most hooks: each has its place in the counts of threads (counts.ts). */
export const MAX_HOOKS = 64
export type HookResult = (typeof HOOK_RESULTS)[number]

/** The possible values of each label. */
export const LABELS = {
  reason:
    'code of the error in lower case; `invalid`: the event itself; `duplicate`: acknowledged, because it is already in the log; `interrupted`: the process was killed first',
  sink: 'name in `SINKS`, or of a route in the config file',
  hook: 'name of a hook in the config file',
  result: HOOK_RESULTS.map((result) => `\`${result}\``).join(', '),
  outcome: ATTEMPT_OUTCOMES.map((outcome) => `\`${outcome}\``).join(', '),
  version: 'of Millrace',
  role: '`ROLE`',
  node: 'version of Node.js',
} as const

type Label = keyof typeof LABELS

export interface Metric {
  readonly type: 'counter' | 'gauge' | 'histogram'
  readonly unit: 'events' | 'requests' | 'batches' | 'bytes' | 'seconds' | 'ratio' | 'failures' | 'stretches' | 'flag'
  readonly labels: readonly Label[]
  readonly help: string
  /** Upper bounds of a histogram's buckets, in its unit. */
  readonly buckets?: readonly number[]
}

const NONE = [] as const
const SINK = ['sink'] as const
const REASON = ['reason'] as const

export const METRICS = {
  events_received_total: {
    type: 'counter',
    unit: 'events',
    labels: NONE,
    help: 'Events in requests whose body could be parsed.',
  },
  events_rejected_total: { type: 'counter', unit: 'events', labels: REASON, help: 'Events not stored, by reason.' },
  events_committed_total: { type: 'counter', unit: 'events', labels: NONE, help: 'Events made durable.' },
  events_in_flight: {
    type: 'gauge',
    unit: 'events',
    labels: NONE,
    help: 'Events received, not yet durable or rejected.',
  },
  requests_refused_total: {
    type: 'counter',
    unit: 'requests',
    labels: REASON,
    help: 'Requests answered with an error, by reason.',
  },
  hook_requests_total: {
    type: 'counter',
    unit: 'requests',
    labels: ['hook', 'result'],
    help: 'Webhooks received, by result, since the start.',
  },
  write_duration_seconds: {
    type: 'histogram',
    unit: 'seconds',
    labels: NONE,
    help: 'Time from when the body of a request is read until its events are durable; its count is the accepted requests.',
    buckets: WRITE_BUCKETS_SECONDS,
  },
  channel_events: { type: 'gauge', unit: 'events', labels: NONE, help: 'Events waiting in the channel.' },
  channel_bytes: { type: 'gauge', unit: 'bytes', labels: NONE, help: 'Bytes waiting in the channel.' },
  channel_capacity_events: { type: 'gauge', unit: 'events', labels: NONE, help: 'Events the channel can hold.' },
  log_sync_duration_seconds: {
    type: 'histogram',
    unit: 'seconds',
    labels: NONE,
    help: 'Time to make one group durable: a synchronous write, or with Kafka the answers of all partitions.',
    buckets: SYNC_BUCKETS_SECONDS,
  },
  log_group_events: {
    type: 'histogram',
    unit: 'events',
    labels: NONE,
    help: 'Events made durable by one sync.',
    buckets: GROUP_BUCKETS_EVENTS,
  },
  log_bytes: { type: 'gauge', unit: 'bytes', labels: NONE, help: 'Bytes of all segments; 0 with Kafka.' },
  log_fill_ratio: {
    type: 'gauge',
    unit: 'ratio',
    labels: NONE,
    help: 'Share of LOG_MAX_BYTES that sinks still need (0–1).',
  },
  log_failures_total: {
    type: 'counter',
    unit: 'failures',
    labels: NONE,
    help: 'Times the log failed for good (a write or sync failed) and the process stopped.',
  },
  log_damages_total: {
    type: 'counter',
    unit: 'stretches',
    labels: NONE,
    help: 'Damaged stretches of the log found since the start.',
  },
  events_delivered_total: { type: 'counter', unit: 'events', labels: SINK, help: 'Events a sink has confirmed.' },
  events_dead_lettered_total: {
    type: 'counter',
    unit: 'events',
    labels: SINK,
    help: 'Events given up on, kept as dead letters.',
  },
  events_damaged_total: {
    type: 'counter',
    unit: 'events',
    labels: SINK,
    help: 'Events lost to damage of the log, or not readable.',
  },
  events_replayed_total: {
    type: 'counter',
    unit: 'events',
    labels: SINK,
    help: 'Dead letters delivered by a replay, since the start.',
  },
  events_filtered_total: {
    type: 'counter',
    unit: 'events',
    labels: SINK,
    help: 'Events that the filter of a route excluded, since the start; they also count as delivered.',
  },
  dead_letters_pending: { type: 'gauge', unit: 'events', labels: SINK, help: 'Dead letters not replayed yet.' },
  delivery_lag_events: {
    type: 'gauge',
    unit: 'events',
    labels: SINK,
    help: 'Durable events not yet settled; with Kafka, in the partitions of this process.',
  },
  delivery_lag_seconds: {
    type: 'gauge',
    unit: 'seconds',
    labels: SINK,
    help: 'Age of the oldest event not yet settled.',
  },
  delivery_attempts_total: {
    type: 'counter',
    unit: 'batches',
    labels: ['sink', 'outcome'],
    help: 'Batches given to a sink, by outcome, since the start.',
  },
  delivery_read_errors_total: {
    type: 'counter',
    unit: 'failures',
    labels: SINK,
    help: 'Failed reads of the log for a sink, by partition in Kafka, since the start.',
  },
  sink_failing: { type: 'gauge', unit: 'flag', labels: SINK, help: '1 while the sink is being retried.' },
  saturation_ratio: {
    type: 'gauge',
    unit: 'ratio',
    labels: NONE,
    help: 'Largest of event-loop use, channel fill and log fill (0–1).',
  },
  build_info: {
    type: 'gauge',
    unit: 'flag',
    labels: ['version', 'role', 'node'],
    help: 'Always 1; the labels say what runs.',
  },
} as const satisfies Record<string, Metric>

export type MetricKey = keyof typeof METRICS
export type KeyOfType<T extends Metric['type']> = {
  [K in MetricKey]: (typeof METRICS)[K]['type'] extends T ? K : never
}[MetricKey]

/** Metrics of prom-client that dashboards use. */
export const RUNTIME_METRICS = [
  'process_cpu_seconds_total',
  'process_resident_memory_bytes',
  'process_start_time_seconds',
  'process_open_fds',
  'process_max_fds',
  'nodejs_eventloop_lag_p50_seconds',
  'nodejs_eventloop_lag_p99_seconds',
  'nodejs_eventloop_lag_max_seconds',
  'nodejs_heap_size_used_bytes',
  'nodejs_heap_size_total_bytes',
  'nodejs_external_memory_bytes',
  'nodejs_gc_duration_seconds',
  'nodejs_active_handles_total',
] as const

/** The full name of a metric, as Prometheus sees it. */
export function metricName(key: MetricKey): string {
  return PREFIX + key
}

export function reasonOf(error: unknown): RefuseReason {
  return error instanceof MillraceError ? reasonOfCode(error.code) : 'internal'
}

export function reasonOfCode(code: ErrorCode): RefuseReason {
  return labelOf(code)
}

function labelOf(code: ErrorCode): Lowercase<ErrorCode> {
  return code.toLowerCase() as Lowercase<ErrorCode>
}

/** The tables of docs/metrics.md. */
export function metricsTable(): string {
  const rows = Object.entries<Metric>(METRICS).map(([key, { type, unit, labels, help }]) => {
    const names = labels.map((label) => `\`${label}\``).join(', ')
    return `| \`${PREFIX}${key}\` | ${type} | ${unit} | ${names} | ${help} |`
  })
  const labels = Object.entries(LABELS).map(([label, values]) => `| \`${label}\` | ${values} |`)
  return [
    '| metric | type | unit | labels | meaning |',
    '|---|---|---|---|---|',
    ...rows,
    '',
    '| label | values |',
    '|---|---|',
    ...labels,
  ].join('\n')
}
