/**
 * Target tracking as AWS documents it, driven by a load over time; one step is a minute.
 *
 *     load ─▶ use of the tasks that are ready ─▶ metric ─▶ alarms ─▶ desired tasks ─▶ ready after the start time
 *
 * Source: https://docs.aws.amazon.com/autoscaling/application/userguide/target-tracking-scaling-policy-overview.html
 */
export interface ScalingPolicy {
  readonly targetPercent: number
  readonly scaleOutCooldownMinutes: number
  readonly scaleInCooldownMinutes: number
  readonly minTasks: number
  readonly maxTasks: number
}

export interface ScalingResult {
  /** Minutes in which more came than ready tasks could take: requests get 503 with Retry-After. */
  readonly minutesOverCapacity: number
  /** Most tasks at any time, against what the highest load needs at the target. */
  readonly overshoot: number
  /** How often the direction changed: out, in, out is two. */
  readonly turns: number
  readonly tasks: readonly number[]
}

/** Alarms: this many minutes in a row above the target, or below nine tenths of it. */
const HIGH_MINUTES = 3
const LOW_MINUTES = 15
const LOW_SHARE = 0.9
/** From the decision until the load balancer sends to a new task: image, start, two health checks. */
const START_MINUTES = 2

/** @param load for each minute, in full tasks: 2.5 keeps two and a half tasks at 100 %. */
export function simulate(policy: ScalingPolicy, load: readonly number[]): ScalingResult {
  const { targetPercent, minTasks, maxTasks } = policy
  const fitting = (work: number) => Math.min(maxTasks, Math.max(minTasks, Math.ceil((work * 100) / targetPercent)))
  let desired = fitting(load[0] ?? 0)
  let ready = desired
  const starting: { at: number; tasks: number }[] = []
  const metrics: number[] = []
  const tasks: number[] = []
  let minutesOverCapacity = 0
  let turns = 0
  let direction = 0
  let lastOut = Number.NEGATIVE_INFINITY
  let lastIn = Number.NEGATIVE_INFINITY
  for (const [minute, work] of load.entries()) {
    while (starting[0] !== undefined && starting[0].at <= minute) ready = Math.max(ready, starting.shift()?.tasks ?? 0)
    ready = Math.min(ready, desired)
    if (work > ready) minutesOverCapacity += 1
    metrics.push(Math.min(100, (100 * work) / ready))
    const last = (count: number) => metrics.slice(-count)
    const wantedFor = (metric: number) =>
      Math.min(maxTasks, Math.max(minTasks, Math.ceil((ready * metric) / targetPercent)))
    const more = wantedFor(metrics.at(-1) ?? 0)
    // AWS scales in more slowly than out and does not say how: here, to what would have done in every one of those minutes.
    const fewer = wantedFor(Math.max(...last(LOW_MINUTES)))
    const high = metrics.length >= HIGH_MINUTES && last(HIGH_MINUTES).every((value) => value > targetPercent)
    const low = metrics.length >= LOW_MINUTES && last(LOW_MINUTES).every((value) => value < LOW_SHARE * targetPercent)
    const outAllowed = minute - lastOut >= policy.scaleOutCooldownMinutes
    const inAllowed = minute - Math.max(lastIn, lastOut) >= policy.scaleInCooldownMinutes
    if (high && outAllowed && more > desired) {
      starting.push({ at: minute + START_MINUTES, tasks: more })
      desired = more
      lastOut = minute
      if (direction < 0) turns += 1
      direction = 1
    } else if (low && inAllowed && fewer < desired) {
      desired = fewer
      lastIn = minute
      if (direction > 0) turns += 1
      direction = -1
    }
    tasks.push(desired)
  }
  return { minutesOverCapacity, overshoot: Math.max(...tasks) / fitting(Math.max(...load)), turns, tasks }
}
