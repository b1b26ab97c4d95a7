/** Every scaling policy as it is deployed, all of a service together, under loads and faults. */
import { afterAll, describe, expect, test } from 'vitest'
import { type Block, resourcesOf, synth } from '../support/synth.ts'
import {
  EVENTS_PER_TASK_MINUTE,
  type Limits,
  type Load,
  type Minute,
  type Policy,
  simulate,
} from './scaling-simulation.ts'

const all = [...synth().stacks.values()]
const report = ['load                    minutes over capacity   overshoot   turns   most tasks']
afterAll(() => console.error(report.join('\n')))

/** Requests a minute that keep the loop of a one-core task busy, when they are small. */
const REQUESTS_OF_A_FULL_TASK = 450_000

/** What each metric that a policy may follow is in a minute. */
const METRICS: Readonly<Record<string, (minute: Minute) => number | undefined>> = {
  ECSServiceAverageCPUUtilization: ({ work, ready }) => 100 * Math.min(1, work / ready),
  EventLoopUse: ({ work, ready }) => Math.min(1, work / ready),
  WorkingSinkLagEvents: ({ backlog, sinkIsDead }) => (sinkIsDead ? 0 : backlog),
  // The load balancer publishes nothing without requests.
  RequestCountPerTarget: ({ requests, ready }) => (requests === 0 ? undefined : requests / ready),
}

interface Tracking {
  readonly target_value: number
  readonly scale_out_cooldown: number
  readonly scale_in_cooldown: number
  readonly predefined_metric_specification?: { readonly predefined_metric_type: string }
  readonly customized_metric_specification?: { readonly metric_name?: string; readonly metrics?: readonly Block[] }
}

function metricOf({ predefined_metric_specification: predefined, customized_metric_specification: own }: Tracking) {
  const stat = own?.metrics?.find(({ metric_stat }) => metric_stat !== undefined)?.metric_stat as
    | { metric: { metric_name: string } }
    | undefined
  const name = predefined?.predefined_metric_type ?? own?.metric_name ?? stat?.metric.metric_name ?? ''
  const metric = METRICS[name]
  if (metric === undefined) throw new Error(`the simulation does not know the metric ${name}`)
  const isFilled = own?.metrics?.some(({ expression }) => /^FILL\(\w+, 0\)$/.test(String(expression)))
  return isFilled ? (minute: Minute) => metric(minute) ?? 0 : metric
}

function deployed(role: string, environment = 'prod'): { policies: Policy[]; limits: Limits } {
  const stacks = all.filter(({ name }) => name === `${environment}-service`)
  const of = (type: string) =>
    resourcesOf(stacks, type)
      .filter(({ at }) => at.includes(`${role}-scaling_`))
      .map(({ block }) => block)
  const [target] = of('aws_appautoscaling_target')
  const policies = of('aws_appautoscaling_policy').map((block): Policy => {
    const tracking = block.target_tracking_scaling_policy_configuration as Tracking
    return {
      name: String(block.name),
      target: tracking.target_value,
      scaleOutCooldownMinutes: tracking.scale_out_cooldown / 60,
      scaleInCooldownMinutes: tracking.scale_in_cooldown / 60,
      metric: metricOf(tracking),
    }
  })
  return { policies, limits: { minTasks: Number(target?.min_capacity), maxTasks: Number(target?.max_capacity) } }
}

const ingest = deployed('ingest')
const deliver = deployed('deliver')
const DAY = 24 * 60
/** A little noise that is the same at every run, so that a steady load is not a straight line. */
const noise = (minute: number) => 1 + 0.08 * Math.sin(minute * 1.7) * Math.cos(minute * 0.61)
const minutes = (
  count: number,
  load: (minute: number) => number,
  more: (minute: number) => Partial<Load> = () => ({}),
) =>
  Array.from({ length: count }, (_, minute): Load => {
    const work = load(minute) * noise(minute)
    return { work, requests: work * REQUESTS_OF_A_FULL_TASK, sinkIsDead: false, ...more(minute) }
  })

const loads = {
  steady: minutes(6 * 60, () => 3),
  /** From 1 to 12 tasks' work over an hour, as at the begin of a working day. */
  ramp: minutes(3 * 60, (minute) => 1 + 11 * Math.min(1, minute / 60)),
  /** Night to noon and back, 1 to 12. */
  diurnal: minutes(2 * DAY, (minute) => 6.5 - 5.5 * Math.cos((2 * Math.PI * minute) / DAY)),
  /** Four times as much from one minute to the next, for half an hour: a campaign, a reconnecting fleet. */
  spike: minutes(3 * 60, (minute) => (minute >= 60 && minute < 90 ? 8 : 2)),
  /** Ten minutes up, ten minutes down: what makes a nervous policy flap. */
  sawtooth: minutes(6 * 60, (minute) => (minute % 20 < 10 ? 4 : 2.5)),
  /** All clients stop, from one minute to the next. */
  silence: minutes(4 * 60, (minute) => (minute < 60 ? 8 : 0)),
  /** Brokers are away for an hour: nothing is taken, clients try again, and what they send costs little. */
  outage: minutes(
    4 * 60,
    (minute) => (minute >= 60 && minute < 120 ? 0.4 : 3),
    (minute) => (minute >= 60 && minute < 120 ? { requests: 2 * 3 * REQUESTS_OF_A_FULL_TASK * 0.3 } : {}),
  ),
} as const

function run(name: keyof typeof loads, { policies, limits } = ingest, limitsAt = (_: number) => limits) {
  const result = simulate(policies, limitsAt, loads[name])
  note(name, result)
  return result
}

function note(name: string, { minutesOverCapacity, overshoot, turns, tasks }: ReturnType<typeof simulate>): void {
  report.push(
    `${name.padEnd(24)}${String(minutesOverCapacity).padStart(21)}` +
      `${overshoot.toFixed(2).padStart(12)}${String(turns).padStart(8)}${String(Math.max(...tasks)).padStart(13)}`,
  )
}

test('the policies are those that are deployed', () => {
  expect(ingest.policies.map(({ name, target }) => [name, target])).toEqual([
    ['cpu', 60],
    ['loop', 0.6],
    ['requests', 300_000],
  ])
  expect(deliver.policies.map(({ name }) => name)).toEqual(['cpu', 'lag', 'loop'])
  expect(ingest.limits).toEqual({ minTasks: 3, maxTasks: 60 })
  // Those of staging are the same, but for what a task of its size takes.
  const targets = ({ policies }: typeof ingest) => policies.map(({ name, target }) => [name, target])
  expect(targets(deployed('ingest', 'staging'))).toEqual(targets(ingest))
  expect(targets(deployed('deliver', 'staging'))).toEqual(targets(deliver))
})

describe('ingest', () => {
  test('a steady load is left alone', () => {
    expect(run('steady')).toMatchObject({ minutesOverCapacity: 0, turns: 0 })
  })

  test('a rising load never meets too few tasks', () => {
    const result = run('ramp')
    expect(result.minutesOverCapacity).toBe(0)
    expect(result.overshoot).toBeLessThanOrEqual(1.25)
  })

  test('a day is followed up and down, without flapping', () => {
    const result = run('diurnal')
    expect(result.minutesOverCapacity).toBe(0)
    expect(result.turns).toBeLessThanOrEqual(4)
    expect(result.overshoot).toBeLessThanOrEqual(1.25)
  })

  test('a spike is caught up with in ten minutes; until then clients are told to try again', () => {
    const result = run('spike')
    expect(result.minutesOverCapacity).toBeGreaterThan(0)
    expect(result.minutesOverCapacity).toBeLessThanOrEqual(10)
    expect(result.turns).toBeLessThanOrEqual(1)
  })

  test('a load that goes up and down is not chased', () => {
    const result = run('sawtooth')
    expect(result.minutesOverCapacity).toBe(0)
    expect(result.turns).toBeLessThanOrEqual(1)
  })

  test('without a single request it goes down to its minimum: a count that is missing holds nothing up', () => {
    expect(run('silence').tasks.at(-1)).toBe(ingest.limits.minTasks)
    // What the load balancer publishes, as it is: the fault that this test is for.
    const raw = ingest.policies.map((policy) =>
      policy.name === 'requests' ? { ...policy, metric: METRICS.RequestCountPerTarget as Policy['metric'] } : policy,
    )
    expect(simulate(raw, () => ingest.limits, loads.silence).tasks.at(-1)).toBeGreaterThan(ingest.limits.minTasks)
  })

  test('fewer tasks only when all metrics agree: one that is near its target keeps them', () => {
    const { policies, limits } = ingest
    const busy = minutes(60, () => 8)
    const before = simulate(policies, () => limits, busy).tasks.at(-1) ?? 0
    const target = policies.find(({ name }) => name === 'requests')?.target ?? 0
    // Small requests, and as many as before: the loop and the CPU of the tasks have hardly anything to do.
    const small = minutes(120, () => 1).map((minute) => ({ ...minute, requests: 0.95 * target * before }))
    const kept = simulate(policies, () => limits, [...busy, ...small]).tasks.slice(60)
    expect(new Set(kept)).toEqual(new Set([before]))
    const others = policies.filter(({ name }) => name !== 'requests')
    expect(simulate(others, () => limits, [...busy, ...small]).tasks.at(-1)).toBeLessThan(before)
  })

  test('while brokers are away it starts no tasks: they could take nothing either', () => {
    const { tasks } = run('outage')
    const before = tasks[59] ?? 0
    expect(Math.max(...tasks.slice(60, 120))).toBeLessThanOrEqual(before)
  })

  test('a known peak has its tasks before it comes, and gives them back', () => {
    const { minTasks, maxTasks } = ingest.limits
    const floor = (minute: number) => ({ minTasks: minute >= 60 && minute < 120 ? 12 : minTasks, maxTasks })
    const { tasks } = run('steady', ingest, floor)
    expect(tasks[60]).toBe(12)
    expect(Math.min(...tasks.slice(60, 120))).toBe(12)
    expect(tasks.at(-1)).toBeLessThan(12)
  })

  test('tasks kept busier would not last until new ones have started', () => {
    const busy = ingest.policies.map((policy) => ({ ...policy, target: policy.target * (0.92 / 0.6) }))
    expect(simulate(busy, () => ingest.limits, loads.ramp).minutesOverCapacity).toBeGreaterThan(0)
  })
})

describe('deliver', () => {
  test('a sink that is dead starts no tasks; when it is back, what waited is delivered by more of them', () => {
    const load = minutes(
      6 * 60,
      () => 1,
      (minute) => ({ sinkIsDead: minute >= 60 && minute < 180 }),
    )
    const result = simulate(deliver.policies, () => deliver.limits, load)
    note('dead sink (deliver)', result)
    expect(Math.max(...result.tasks.slice(0, 180))).toBe(deliver.limits.minTasks)
    expect(Math.max(...result.tasks.slice(180))).toBe(deliver.limits.maxTasks)
    expect(result.tasks.at(-1)).toBe(deliver.limits.minTasks)
  })

  test('metrics that stop coming scale nothing in, and nothing out', () => {
    const silent = deliver.policies.map((policy) => ({
      ...policy,
      metric: (minute: Minute) => (minute.work > 0.5 && minute.work < 5 ? undefined : policy.metric(minute)),
    }))
    const load = minutes(3 * 60, (minute) => (minute < 30 ? 8 : 2))
    const { tasks } = simulate(silent, () => deliver.limits, load)
    expect(new Set(tasks.slice(32)).size).toBe(1)
  })

  test('the lag that a task may have is some seconds of its work', () => {
    const lag = deliver.policies.find(({ name }) => name === 'lag')?.target ?? 0
    expect((60 * lag) / EVENTS_PER_TASK_MINUTE).toBeLessThanOrEqual(10)
  })
})
