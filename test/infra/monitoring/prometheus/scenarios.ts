/**
 * For each alert: series in which something breaks and is mended, and series close to that in which nobody should be
 * woken, shaped as the collectors of a scaled environment write them. Times are in steps of the series (a minute unless it
 * says otherwise).
 */
import type { Fleet } from '../../../../infra/monitoring/alerts.ts'
import { counter, gauge, of, ramp, SCRAPED, type Series, task } from './series.ts'

export interface Scenario {
  readonly alert: string
  /** When an alert has more than one. */
  readonly where?: string
  /** What autoscaling starts. Default: two tasks, without a role. */
  readonly fleets?: readonly Fleet[]
  /** Minutes between samples, and between evaluations. Default: 1. */
  readonly step?: number
  readonly breaks: Series
  readonly firesAt: number
  /** Labels of the alert beside its severity, and `$value` as its description shows it. */
  readonly labels?: Readonly<Record<string, string>>
  readonly value?: string
  /** Broken, and not for long enough. */
  readonly notYetAt?: number
  readonly resetsAt: number
  /** Why it must not fire, and the series, looked at when the broken ones fire. */
  readonly calm: Readonly<Record<string, Series>>
}

const HOUR = 60
/** In steps of 5 minutes. */
const DAY = 288

const INGEST = task('ingest', '1f0c')
const OTHER_INGEST = task('ingest', '2e1d')
const DELIVER = task('deliver', '3d2e')
const ingest = { role: 'ingest' }

/** Requests accepted and refused; what is the client's fault does not count. */
function requests(refused: string, accepted: string, clients = '0+0x5000'): Series {
  return of(INGEST, {
    millrace_write_duration_seconds_count: accepted,
    'millrace_requests_refused_total{reason="log_full"}': refused,
    'millrace_requests_refused_total{reason="malformed"}': clients,
  })
}

/** Writes, and those of them within the limit. */
function writes(all: string, within: string): Series {
  return of(INGEST, {
    millrace_write_duration_seconds_count: all,
    'millrace_write_duration_seconds_bucket{le="0.03"}': within,
  })
}

const lagSeconds = (values: string) => of(DELIVER, { 'millrace_delivery_lag_seconds{sink="http"}': values })
const http = { sink: 'http', role: 'deliver' }

const burns: readonly Scenario[] = [
  {
    alert: 'MillraceAvailabilityFastBurn',
    breaks: requests(counter([12, 70], [0, 30]), counter([588, 70], [600, 30])),
    firesAt: 65,
    labels: ingest,
    value: '2%',
    resetsAt: 80,
    calm: {
      'refusals stay under 14.4 times the budget, and clients send nonsense': requests(
        counter([8, 70]),
        counter([592, 70]),
        counter([500, 70]),
      ),
      'a burst is over': requests(counter([100, 50], [0, 20]), counter([500, 50], [600, 20])),
      'there is hardly any traffic': requests(counter([0, 62], [1, 3]), counter([0, 60], [1, 5])),
    },
  },
  {
    alert: 'MillraceAvailabilityBurn',
    breaks: requests(counter([4.2, 380], [0, 60]), counter([595.8, 380], [600, 60])),
    firesAt: 6 * HOUR + 5,
    labels: ingest,
    value: '0.7%',
    resetsAt: 420,
    calm: {
      'refusals stay under 6 times the budget': requests(counter([3, 380]), counter([597, 380])),
      'a burst is over': requests(counter([60, 300], [0, 80]), counter([540, 300], [600, 80])),
    },
  },
  {
    alert: 'MillraceAvailabilitySlowBurn',
    step: 5,
    breaks: requests(counter([1.2, 3 * DAY + 20], [0, 100]), counter([598.8, 3 * DAY + 20], [600, 100])),
    firesAt: 3 * DAY + 10,
    labels: ingest,
    value: '0.2%',
    resetsAt: 3 * DAY + 100,
    calm: {
      'refusals stay within the budget': requests(counter([0.5, 1000]), counter([599.5, 1000])),
      'a bad day is over': requests(counter([30, DAY], [0, 700]), counter([570, DAY], [600, 700])),
    },
  },
  {
    alert: 'MillraceWriteLatencyFastBurn',
    breaks: writes(counter([600, 100]), counter([480, 70], [600, 30])),
    firesAt: 65,
    labels: ingest,
    value: '20%',
    resetsAt: 80,
    calm: {
      'slow writes stay under 14.4 times the budget': writes(counter([600, 70]), counter([540, 70])),
      'there is hardly any traffic': writes(counter([0, 60], [1, 5]), counter([0, 70])),
    },
  },
  {
    alert: 'MillraceWriteLatencyBurn',
    breaks: writes(counter([600, 440]), counter([552, 380], [600, 60])),
    firesAt: 6 * HOUR + 5,
    labels: ingest,
    value: '8%',
    resetsAt: 420,
    calm: { 'slow writes stay under 6 times the budget': writes(counter([600, 380]), counter([570, 380])) },
  },
  {
    alert: 'MillraceWriteLatencySlowBurn',
    step: 5,
    breaks: writes(counter([600, 1000]), counter([588, 3 * DAY + 20], [600, 100])),
    firesAt: 3 * DAY + 10,
    labels: ingest,
    value: '2%',
    resetsAt: 3 * DAY + 100,
    calm: { 'slow writes stay within the budget': writes(counter([600, 1000]), counter([596, 1000])) },
  },
  {
    alert: 'MillraceFreshnessFastBurn',
    breaks: lagSeconds(gauge([120, 66], [1, 30])),
    firesAt: 65,
    labels: http,
    value: '100%',
    resetsAt: 80,
    calm: {
      'events are nearly a minute late': lagSeconds(gauge([59, 70])),
      'it was late for 5 minutes': lagSeconds(gauge([1, 61], [120, 5])),
    },
  },
  {
    alert: 'MillraceFreshnessBurn',
    breaks: lagSeconds(gauge([120, 370], [1, 60])),
    firesAt: 6 * HOUR + 5,
    labels: http,
    value: '100%',
    resetsAt: 420,
    calm: { 'it was late for 20 minutes': lagSeconds(gauge([1, 346], [120, 20])) },
  },
  {
    alert: 'MillraceFreshnessSlowBurn',
    step: 5,
    breaks: lagSeconds(gauge([120, 3 * DAY + 20], [1, 100])),
    firesAt: 3 * DAY + 10,
    labels: http,
    value: '100%',
    resetsAt: 3 * DAY + 100,
    calm: { 'it was late for half an hour in three days': lagSeconds(gauge([1, 3 * DAY + 4], [120, 6], [1, 1])) },
  },
]

const lag = (values: string) => of(DELIVER, { 'millrace_delivery_lag_events{sink="http"}': values })
const deadLetters = (values: string) => of(DELIVER, { 'millrace_events_dead_lettered_total{sink="http"}': values })
const failing = (values: string) => of(DELIVER, { 'millrace_sink_failing{sink="http"}': values })

const delivery: readonly Scenario[] = [
  {
    alert: 'MillraceSinkFailing',
    breaks: failing(gauge([0, 5], [1, 10], [0, 10])),
    firesAt: 11,
    labels: http,
    notYetAt: 9,
    resetsAt: 16,
    calm: { 'it fails now and then': failing(gauge([1, 4], [0, 1], [1, 4], [0, 1], [1, 4])) },
  },
  {
    alert: 'MillraceLagGrowing',
    breaks: lag(ramp(0, [1000, 40], [-3000, 12], [0, 20])),
    firesAt: 30,
    labels: http,
    value: '30k',
    notYetAt: 20,
    resetsAt: 55,
    calm: {
      'a long queue gets shorter': lag(ramp(200_000, [-1000, 60])),
      'a short one gets longer': lag(ramp(0, [300, 60])),
    },
  },
  {
    alert: 'MillraceDeadLetters',
    breaks: deadLetters(gauge([0, 10], [3, 40])),
    firesAt: 12,
    labels: http,
    resetsAt: 30,
    calm: { 'there are only old ones': deadLetters(gauge([7, 40])) },
  },
]

const fill = (values: string, who = INGEST) => of(who, { millrace_log_fill_ratio: values })
const failures = (values: string, who = INGEST) => of(who, { millrace_log_failures_total: values })
const damaged = (values: string) => of(DELIVER, { 'millrace_events_damaged_total{sink="http"}': values })
/** Syncs a step that take up to 10 ms, and from there to 20 ms. */
const syncs = (quick: string, all: string) =>
  of(INGEST, {
    'millrace_log_sync_duration_seconds_bucket{le="0.01"}': quick,
    'millrace_log_sync_duration_seconds_bucket{le="0.02"}': all,
    'millrace_log_sync_duration_seconds_bucket{le="+Inf"}': all,
  })

const log: readonly Scenario[] = [
  {
    alert: 'MillraceLogNearlyFull',
    breaks: fill(gauge([0.5, 5], [0.85, 10], [0.6, 10])),
    firesAt: 11,
    labels: INGEST,
    value: '85%',
    notYetAt: 9,
    resetsAt: 16,
    calm: { 'it is three quarters full': fill(gauge([0.75, 20])) },
  },
  {
    alert: 'MillraceLogNearlyFull',
    where: ', of a service that Prometheus scrapes itself',
    breaks: fill(gauge([0.5, 5], [0.85, 10], [0.6, 10]), SCRAPED),
    firesAt: 11,
    labels: SCRAPED,
    value: '85%',
    resetsAt: 16,
    calm: { 'it is three quarters full': fill(gauge([0.75, 20]), SCRAPED) },
  },
  {
    alert: 'MillraceSyncSlow',
    breaks: syncs(counter([0, 20], [100, 20]), counter([100, 40])),
    firesAt: 15,
    labels: { instance: '1f0c', role: 'ingest' },
    notYetAt: 8,
    resetsAt: 30,
    calm: { 'one in two hundred is slow': syncs(counter([199, 40]), counter([200, 40])) },
  },
  {
    alert: 'MillraceLogFailed',
    // The process ends with the failure; the next one shows it.
    breaks: failures('0+0x10 _ 1+0x40'),
    firesAt: 13,
    labels: INGEST,
    resetsAt: 35,
    calm: { 'it failed long ago': failures(gauge([2, 40])) },
  },
  {
    alert: 'MillraceLogFailed',
    where: ', in a task that another one took the place of',
    // The counter is kept beside the log: the next task begins with it.
    breaks: { ...failures('0+0x10'), ...failures(`_x12 ${gauge([1, 60])}`, OTHER_INGEST) },
    firesAt: 16,
    labels: ingest,
    resetsAt: 50,
    calm: {
      'the task before it had failed as often': {
        ...failures('1+0x10'),
        ...failures(`_x12 ${gauge([1, 60])}`, OTHER_INGEST),
      },
    },
  },
  {
    alert: 'MillraceEventsDamaged',
    breaks: damaged(gauge([0, 10], [5, 100])),
    firesAt: 12,
    labels: http,
    resetsAt: 80,
    calm: { 'they were lost long ago': damaged(gauge([5, 100])) },
  },
]

/** Two instances; the rules are rendered for at most two tasks. */
const saturation = (first: string, second: string, secondUp: string) => ({
  ...of(INGEST, { up: '1+0x60', millrace_saturation_ratio: first }),
  ...of(OTHER_INGEST, { up: secondUp, millrace_saturation_ratio: second }),
})
const up = (first: string, second: string, deliver = '_x60') => ({
  ...of(INGEST, { up: first }),
  ...of(OTHER_INGEST, { up: second }),
  ...of(DELIVER, { up: deliver }),
})

/** A task of each. */
const roles = (first: string, second: string): Series => ({
  ...of(INGEST, { up: '1+0x60', millrace_saturation_ratio: first }),
  ...of(DELIVER, { up: '1+0x60', millrace_saturation_ratio: second }),
})

const fleet: readonly Scenario[] = [
  {
    alert: 'MillraceSaturatedAtMaximum',
    breaks: saturation(gauge([0.5, 5], [1, 20], [0.6, 20]), gauge([0.5, 5], [0.8, 20], [0.6, 20]), gauge([1, 60])),
    firesAt: 17,
    value: '90%',
    notYetAt: 12,
    resetsAt: 26,
    calm: {
      'another task can still be started': saturation(gauge([1, 60]), '_x60', gauge([0, 60])),
      'one of two is idle': saturation(gauge([1, 60]), gauge([0.5, 60]), gauge([1, 60])),
    },
  },
  {
    alert: 'MillraceSaturatedAtMaximum',
    where: ', one role of two',
    fleets: [
      { role: 'ingest', maxTasks: 1 },
      { role: 'deliver', maxTasks: 3 },
    ],
    breaks: roles(gauge([0.5, 5], [0.9, 20], [0.6, 20]), '0.1+0x60'),
    firesAt: 17,
    labels: ingest,
    value: '90%',
    notYetAt: 12,
    resetsAt: 26,
    calm: { 'the other one is, and has room to grow': roles('0.1+0x60', gauge([0.95, 60])) },
  },
  {
    alert: 'MillraceTargetsBelowMinimum',
    fleets: [{ role: 'ingest', minTasks: 2, maxTasks: 9 }],
    // A task whose collector is dead writes nothing.
    breaks: up(gauge([1, 60]), `${gauge([1, 5])} _x15 ${gauge([1, 25])}`),
    firesAt: 16,
    labels: ingest,
    value: '1',
    notYetAt: 12,
    resetsAt: 24,
    calm: {
      'another role has fewer': up('1+0x60', '1+0x60', '1+0x60'),
      'none is seen for a moment': up(`${gauge([1, 13])} _ ${gauge([1, 40])}`, '1+0x60'),
    },
  },
  {
    alert: 'MillraceTargetsBelowMinimum',
    where: ', none of one role of two',
    fleets: [
      { role: 'ingest', minTasks: 1, maxTasks: 9 },
      { role: 'deliver', minTasks: 1, maxTasks: 9 },
    ],
    // Nothing is down: its series end, while those of the other role go on.
    breaks: up('1+0x60', '_x60', `${gauge([1, 5])} _x15 ${gauge([1, 25])}`),
    firesAt: 16,
    labels: { role: 'deliver' },
    value: '0',
    notYetAt: 12,
    resetsAt: 24,
    calm: { 'one of each is seen': up('1+0x60', '_x60', '1+0x60') },
  },
  {
    alert: 'MillraceTargetDown',
    breaks: up(gauge([1, 5], [0, 5], [1, 10]), gauge([1, 20])),
    firesAt: 8,
    labels: INGEST,
    notYetAt: 6,
    resetsAt: 11,
    calm: { 'one scrape failed': up(gauge([1, 7], [0, 1], [1, 10]), gauge([1, 20])) },
  },
  {
    alert: 'MillraceTargetMissing',
    breaks: up(gauge([1, 5], [0, 5], [1, 10]), gauge([1, 5], [0, 15])),
    firesAt: 8,
    notYetAt: 6,
    resetsAt: 11,
    calm: { 'one of two answers': up(gauge([0, 20]), gauge([1, 20])) },
  },
]

export const SCENARIOS: readonly Scenario[] = [...burns, ...delivery, ...log, ...fleet]
