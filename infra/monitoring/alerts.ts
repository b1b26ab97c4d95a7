/**
 * The alerts. `page` wakes an operator: users are affected or will be within the hour. `ticket` waits for the morning.
 * What each means and what to do is in docs/runbooks.
 *
 * A condition keeps the value it looks at beside the comparison, so that a test can ask a running Prometheus for it.
 */
import { increase, max, rate, select, selectHistogram, sum, UP, up } from './promql.ts'
import { BURNS, budgetOf, MIN_BAD_REQUESTS, recordOf, type Severity, type Slo } from './slo.ts'

export interface Condition {
  readonly expr: string
  /** The expressions without comparisons: each has to return data from a running service. */
  readonly signals: readonly string[]
}

export interface Alert {
  readonly alert: string
  readonly condition: Condition
  /** How long it has to hold. */
  readonly for?: string
  readonly severity: Severity
  /** Of a rule for one role. Two with the same labels would be one alert, of which the last text is shown. */
  readonly role?: string
  /** One line that says what is wrong. */
  readonly summary: string
  readonly description: string
  /** Name of the file in docs/runbooks, without its ending. */
  readonly runbook: string
}

/** Tasks of one role that autoscaling starts; what differs between environments. */
export interface Fleet {
  /** As its collector calls it. Default: whatever runs, where nobody does. */
  readonly role?: string
  /** Fewer of them that answer are an alert; where there is one role alone and one is enough, that none does is one. Default: 1. */
  readonly minTasks?: number
  readonly maxTasks: number
}

/** From here on a service that can't grow any more refuses soon. Autoscaling aims well below. */
const SATURATED = 0.85
const LOG_NEARLY_FULL = 0.8
/** Half of what a write may take altogether. */
const SYNC_SLOW_SECONDS = 0.015
/** Lag that a healthy sink has for a moment under load. */
const LAG_EVENTS = 10_000

const FAILURES = select('log_failures_total')
/** Rules keep the role, where a collector has put it on: an alert says whose it is. */
const OF_ROLE = '{{ with $labels.role }} of {{ . }}{{ end }}'

export const LAG_RECORD = {
  record: 'millrace:delivery_lag_events:sum',
  expr: sum(select('delivery_lag_events'), 'sink', 'role'),
} as const

function compare(signal: string, operator: '>' | '==' | '>=' | '<', value: number): Condition {
  return { expr: `${signal} ${operator} ${value}`, signals: [signal] }
}

function all(...conditions: readonly Condition[]): Condition {
  return {
    expr: conditions.map(({ expr }) => expr).join(' and '),
    signals: conditions.flatMap(({ signals }) => signals),
  }
}

/** The second says less: only where the first says nothing. */
function elseIf(first: Condition, second: Condition): Condition {
  return {
    expr: `${first.expr} or (${second.expr} unless on (role) ${first.expr})`,
    signals: [...first.signals, ...second.signals],
  }
}

export function burnAlerts(slo: Slo): readonly Alert[] {
  return BURNS.map(({ name, factor, long, short, severity }) => {
    const limit = Number((factor * budgetOf(slo)).toFixed(6))
    const bad = slo.badRequests?.(long)
    return {
      alert: `Millrace${slo.name}${name}`,
      condition: all(
        compare(recordOf(slo, long), '>', limit),
        compare(recordOf(slo, short), '>', limit),
        ...(bad === undefined ? [] : [compare(bad, '>=', MIN_BAD_REQUESTS)]),
      ),
      severity,
      summary: `${slo.name}${OF_ROLE} burns its error budget ${factor} times faster than it may`,
      description: `{{ $value | humanizePercentage }} ${slo.bad} in the last ${long}; ${limit * 100} % is the limit for this alert, and it goes on.`,
      runbook: slo.runbook,
    }
  })
}

export const deliveryAlerts: readonly Alert[] = [
  {
    alert: 'MillraceSinkFailing',
    condition: compare(max(select('sink_failing'), 'sink', 'role'), '==', 1),
    for: '5m',
    severity: 'ticket',
    summary: `Sink {{ $labels.sink }}${OF_ROLE} fails`,
    description: 'It has been retried for 5 minutes. Its events wait in the log; other sinks go on.',
    runbook: 'sink-failing',
  },
  {
    alert: 'MillraceLagGrowing',
    condition: all(compare(LAG_RECORD.record, '>', LAG_EVENTS), compare(`deriv(${LAG_RECORD.record}[15m])`, '>', 0)),
    for: '15m',
    severity: 'ticket',
    summary: `Sink {{ $labels.sink }}${OF_ROLE} falls behind`,
    description: '{{ $value | humanize }} events wait for it, and for 15 minutes there have been ever more.',
    runbook: 'lag-growing',
  },
  {
    alert: 'MillraceDeadLetters',
    condition: compare(sum(increase(select('events_dead_lettered_total'), '15m'), 'sink', 'role'), '>', 0),
    severity: 'ticket',
    summary: `Events for sink {{ $labels.sink }}${OF_ROLE} became dead letters`,
    description: 'They were given up on in the last 15 minutes, and are kept with the reason until they are replayed.',
    runbook: 'dead-letters',
  },
]

export const logAlerts: readonly Alert[] = [
  {
    alert: 'MillraceLogNearlyFull',
    condition: compare(select('log_fill_ratio'), '>', LOG_NEARLY_FULL),
    for: '5m',
    severity: 'page',
    summary: `The log of {{ $labels.instance }}${OF_ROLE} is nearly full`,
    description:
      '{{ $value | humanizePercentage }} of it holds events that a sink still needs. Full, requests get 503.',
    runbook: 'log-nearly-full',
  },
  {
    alert: 'MillraceSyncSlow',
    condition: compare(
      `histogram_quantile(0.99, ${sum(rate(selectHistogram('log_sync_duration_seconds', 'bucket'), '5m'), 'instance', 'role', 'le')})`,
      '>',
      SYNC_SLOW_SECONDS,
    ),
    for: '10m',
    severity: 'ticket',
    summary: `The disk of {{ $labels.instance }}${OF_ROLE} is slow`,
    description: `One synchronous write in a hundred takes longer than ${SYNC_SLOW_SECONDS * 1000} ms; every write waits for one.`,
    runbook: 'sync-slow',
  },
  {
    alert: 'MillraceLogFailed',
    condition: elseIf(
      compare(increase(FAILURES, '15m'), '>', 0),
      // A task that takes the place of another one is another instance, and begins with what was counted before it.
      {
        expr: `${max(FAILURES, 'role')} - ${max(`${FAILURES} offset 15m`, 'role')} > 0`,
        signals: [max(FAILURES, 'role')],
      },
    ),
    severity: 'page',
    summary: `A write or sync of the log${OF_ROLE} failed{{ with $labels.instance }} on {{ . }}{{ end }}`,
    description: 'Nothing unsynced was acknowledged; the process stopped and was started again within 15 minutes.',
    runbook: 'log-failed',
  },
  {
    alert: 'MillraceEventsDamaged',
    condition: compare(sum(increase(select('events_damaged_total'), '1h'), 'sink', 'role'), '>', 0),
    severity: 'page',
    summary: `Durable events were lost to damage of the log${OF_ROLE}`,
    description: 'Sink {{ $labels.sink }} skipped records whose checksum is wrong; their bytes are in quarantine.',
    runbook: 'events-damaged',
  },
]

export function fleetAlerts(fleets: readonly Fleet[]): readonly Alert[] {
  return [
    ...fleets.map(saturatedAtMaximum),
    ...fleets.flatMap((fleet) => (fleets.length > 1 || (fleet.minTasks ?? 1) > 1 ? [belowMinimum(fleet)] : [])),
    {
      alert: 'MillraceTargetDown',
      condition: compare(UP, '==', 0),
      for: '2m',
      severity: 'ticket',
      summary: `{{ $labels.instance }}${OF_ROLE} does not answer its scrapes`,
      description: 'It is listed as running, and its admin listener has not answered for 2 minutes.',
      runbook: 'target-missing',
    },
    {
      alert: 'MillraceTargetMissing',
      condition: { expr: `absent(${UP} == 1)`, signals: [UP] },
      for: '2m',
      severity: 'page',
      summary: 'No instance of Millrace answers',
      description: 'For 2 minutes nothing was scraped: it is down, or unseen, which is as bad.',
      runbook: 'target-missing',
    },
  ]
}

/**
 * A task whose collector is dead is not seen, and nothing else says so. Of a role without any task that is seen there is no
 * count at all, and no other alert while another role answers: 0 then.
 */
function belowMinimum({ role, minTasks = 1 }: Fleet): Alert {
  const matchers = role === undefined ? {} : { role }
  return {
    alert: 'MillraceTargetsBelowMinimum',
    ...(role !== undefined && { role }),
    condition: compare(`(count(${up(matchers)} == 1) or vector(0))`, '<', minTasks),
    for: '5m',
    severity: 'ticket',
    summary: `Fewer than ${minTasks} ${minTasks === 1 ? 'task' : 'tasks'}${role === undefined ? '' : ` of ${role}`} answer their scrapes`,
    description: `{{ $value }} of at least ${minTasks} are seen: the others do not run, or their collector does not.`,
    runbook: 'target-missing',
  }
}

/** One a role: that one has room left does not help the other. */
function saturatedAtMaximum({ role, maxTasks }: Fleet): Alert {
  const matchers = role === undefined ? {} : { role }
  const tasks = role === undefined ? 'tasks' : `tasks of ${role}`
  return {
    alert: 'MillraceSaturatedAtMaximum',
    ...(role !== undefined && { role }),
    condition: all(
      compare(`avg(${select('saturation_ratio', matchers)})`, '>', SATURATED),
      compare(`count(${up(matchers)} == 1)`, '>=', maxTasks),
    ),
    for: '10m',
    severity: 'page',
    summary: `Saturated, and autoscaling has no task${role === undefined ? '' : ` of ${role}`} left to start`,
    description: `{{ $value | humanizePercentage }} of the capacity of ${maxTasks === 1 ? 'the one task' : `all ${maxTasks} ${tasks}`} is in use.`,
    runbook: 'saturation',
  }
}
