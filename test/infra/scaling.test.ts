import { afterAll, expect, test } from 'vitest'
import { type Block, resourcesOf, synth } from '../support/synth.ts'
import { type ScalingPolicy, simulate } from './scaling-simulation.ts'

const stacks = [...synth().stacks.values()].filter(({ name }) => name === 'prod-service')
const report = ['load                  minutes over capacity   overshoot   turns   most tasks']
afterAll(() => console.error(report.join('\n')))

/** The policy on CPU as it is deployed, with the limits of its target. */
function deployedPolicy(role: string): ScalingPolicy {
  const find = (type: string, part: string): Block => {
    const [found] = resourcesOf(stacks, type).filter(({ at }) => at.includes(`${role}-scaling_${part}`))
    return found?.block ?? {}
  }
  const target = find('aws_appautoscaling_target', 'target')
  const { target_tracking_scaling_policy_configuration: tracking } = find('aws_appautoscaling_policy', 'cpu') as {
    target_tracking_scaling_policy_configuration: Record<string, number>
  }
  return {
    targetPercent: tracking.target_value ?? 0,
    scaleOutCooldownMinutes: (tracking.scale_out_cooldown ?? 0) / 60,
    scaleInCooldownMinutes: (tracking.scale_in_cooldown ?? 0) / 60,
    minTasks: Number(target.min_capacity),
    maxTasks: Number(target.max_capacity),
  }
}

const policy = deployedPolicy('ingest')
const DAY = 24 * 60
/** A little noise that is the same at every run, so that a steady load is not a straight line. */
const noise = (minute: number) => 1 + 0.08 * Math.sin(minute * 1.7) * Math.cos(minute * 0.61)
const minutes = (count: number, load: (minute: number) => number) =>
  Array.from({ length: count }, (_, minute) => load(minute) * noise(minute))

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
}

function run(name: keyof typeof loads, by = policy) {
  const result = simulate(by, loads[name])
  const { minutesOverCapacity, overshoot, turns, tasks } = result
  report.push(
    `${`${name} (${by.targetPercent} %)`.padEnd(22)}${String(minutesOverCapacity).padStart(21)}` +
      `${overshoot.toFixed(2).padStart(12)}${String(turns).padStart(8)}${String(Math.max(...tasks)).padStart(13)}`,
  )
  return result
}

test('the policy is the one that is deployed', () => {
  expect(policy).toMatchObject({ targetPercent: 60, minTasks: 3, maxTasks: 60 })
})

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

test('tasks kept busier would not last until new ones have started', () => {
  expect(run('ramp', { ...policy, targetPercent: 92 }).minutesOverCapacity).toBeGreaterThan(0)
})
