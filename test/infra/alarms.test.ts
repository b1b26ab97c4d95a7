/** Every CloudWatch alarm as it is deployed: what makes it ring, and what it says of a metric that is missing. */
import { expect, test } from 'vitest'
import { type Block, resourcesOf, synth } from '../support/synth.ts'

interface Alarm {
  readonly alarm_name: string
  readonly comparison_operator: string
  readonly threshold: number
  readonly evaluation_periods: number
  readonly datapoints_to_alarm?: number
  readonly treat_missing_data?: string
  readonly alarm_actions?: readonly string[]
  readonly alarm_description?: string
}

const alarms = resourcesOf(synth().stacks.values(), 'aws_cloudwatch_metric_alarm').map(
  ({ block }: { block: Block }) => block as unknown as Alarm,
)

const BREACHES: Readonly<Record<string, (value: number, threshold: number) => boolean>> = {
  GreaterThanThreshold: (value, threshold) => value > threshold,
  LessThanThreshold: (value, threshold) => value < threshold,
}

/**
 * M out of N, with the last data points of a range; undefined: no data in that period. A simplified form for ranges that have
 * either all data or none: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-missing-data.html
 */
function stateOf(alarm: Alarm, points: readonly (number | undefined)[]): 'OK' | 'ALARM' | 'INSUFFICIENT_DATA' {
  const { comparison_operator, threshold, evaluation_periods, treat_missing_data = 'missing' } = alarm
  const range = points.slice(-evaluation_periods)
  const breaches = BREACHES[comparison_operator]
  if (breaches === undefined) throw new Error(`${comparison_operator} is not known here`)
  if (treat_missing_data === 'missing' && range.every((point) => point === undefined)) return 'INSUFFICIENT_DATA'
  const bad = range.filter((point) =>
    point === undefined ? treat_missing_data === 'breaching' : breaches(point, threshold),
  )
  return bad.length >= (alarm.datapoints_to_alarm ?? evaluation_periods) ? 'ALARM' : 'OK'
}

const beyond = ({ comparison_operator, threshold }: Alarm) =>
  threshold + (comparison_operator.startsWith('Less') ? -1 : 1)

test('every service and every broker has its alarms', () => {
  const kinds = (name: string) =>
    alarms.flatMap(({ alarm_name }) =>
      alarm_name.startsWith(`millrace-${name}-`) ? alarm_name.replace(/^\w+-\w+-/, '') : [],
    )
  const balancer = ['server-errors', 'unhealthy-tasks']
  const of = (role: string, more: string[] = []) =>
    ['cpu', 'memory', 'saturation', 'tasks', ...more].map((what) => `${role}-${what}`)
  const brokers = [1, 2, 3].flatMap((broker) => ['cpu', 'disk', 'min-isr'].map((what) => `kafka-${what}-${broker}`))
  const scaled = [
    ...of('ingest'),
    ...of('deliver', ['lag']),
    ...brokers,
    'kafka-controller',
    'kafka-offline-partitions',
  ]
  expect(kinds('dev').sort()).toEqual([...of('all', ['lag']), ...balancer].sort())
  for (const name of ['staging', 'prod']) expect(kinds(name).sort()).toEqual([...scaled, ...balancer].sort())
})

test.each(alarms.map((alarm) => [alarm.alarm_name, alarm] as const))('%s rings, and stays silent', (name, alarm) => {
  const periods = Array.from({ length: alarm.evaluation_periods })
  const needed = alarm.datapoints_to_alarm ?? alarm.evaluation_periods
  expect(
    stateOf(
      alarm,
      periods.map(() => beyond(alarm)),
    ),
  ).toBe('ALARM')
  expect(
    stateOf(
      alarm,
      periods.map(() => alarm.threshold),
    ),
  ).toBe('OK')
  // One bad period fewer than it takes.
  expect(
    stateOf(
      alarm,
      periods.map((_, at) => (at < needed - 1 ? beyond(alarm) : alarm.threshold)),
    ),
  ).toBe('OK')
  // Somebody hears of it, and knows which environment it is.
  expect(alarm.alarm_actions?.length, name).toBeGreaterThan(0)
  expect(alarm.alarm_description, name).toMatch(/\w+/)
  expect(name).toMatch(/^millrace-(dev|staging|prod)-/)
})

test('a metric that is missing rings where it would say that something lives, and nowhere else', () => {
  const missing = alarms.filter(
    (alarm) =>
      stateOf(
        alarm,
        Array.from({ length: 60 }, () => undefined),
      ) !== 'OK',
  )
  const kinds = new Set(
    missing.map(({ alarm_name }) => alarm_name.replace(/^millrace-\w+-/, '').replace(/^\w+-tasks/, 'tasks')),
  )
  expect([...kinds].sort()).toEqual(['kafka-controller', 'tasks'])
  for (const alarm of missing) expect(stateOf(alarm, [undefined]), alarm.alarm_name).not.toBe('INSUFFICIENT_DATA')
})

test('nothing counts on what CloudWatch does when nothing is said of missing data', () => {
  for (const alarm of alarms) expect(alarm.treat_missing_data, alarm.alarm_name).toBeTruthy()
})
