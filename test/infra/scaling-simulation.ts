/**
 * Target tracking as AWS documents it, all policies of a service together, driven by a load over time; one step is a minute.
 *
 *     load ─▶ metrics of the tasks that are ready ─▶ alarms ─▶ desired tasks ─▶ ready after the start time
 *
 * One policy is enough to scale out, and the one that asks for most decides. All must agree to scale in, and one whose
 * metric has no data does not agree.
 * Source: https://docs.aws.amazon.com/autoscaling/application/userguide/target-tracking-scaling-policy-overview.html
 */
export interface Policy {
  readonly name: string
  readonly target: number
  readonly scaleOutCooldownMinutes: number
  readonly scaleInCooldownMinutes: number
  /** What CloudWatch has for a minute; undefined: nothing. */
  metric(minute: Minute): number | undefined
}

/** What there is to do in a minute, by how many ready tasks. */
export interface Minute {
  /** In full tasks: 2.5 keeps two and a half tasks at 100 %. */
  readonly work: number
  /** Requests of clients, with those that are refused. */
  readonly requests: number
  readonly ready: number
  /** Events that wait for a sink. */
  readonly backlog: number
  /** The sink takes nothing. */
  readonly sinkIsDead: boolean
}

export interface Limits {
  readonly minTasks: number
  readonly maxTasks: number
}

export type Load = Omit<Minute, 'ready' | 'backlog'>

export interface ScalingResult {
  /** Minutes in which more came than ready tasks could take: requests get 503 with Retry-After. */
  readonly minutesOverCapacity: number
  /** Most tasks at any time, against what the highest load needs at the target of the first policy. */
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
/** Events that a full task delivers in a minute. */
export const EVENTS_PER_TASK_MINUTE = 600_000

/** @param limitsAt of each minute: a schedule moves them. */
export function simulate(
  policies: readonly Policy[],
  limitsAt: (minute: number) => Limits,
  load: readonly Load[],
): ScalingResult {
  const [first] = policies
  const fitting = (work: number) => Math.max(limitsAt(0).minTasks, Math.ceil(work / relativeTarget(first as Policy)))
  let desired = Math.min(limitsAt(0).maxTasks, fitting(load[0]?.work ?? 0))
  let ready = desired
  let backlog = 0
  const starting: { at: number; tasks: number }[] = []
  const metrics: (number | undefined)[][] = policies.map(() => [])
  const tasks: number[] = []
  const last = { out: Number.NEGATIVE_INFINITY, in: Number.NEGATIVE_INFINITY }
  let [minutesOverCapacity, turns, direction] = [0, 0, 0]
  for (const [minute, now] of load.entries()) {
    const { minTasks, maxTasks } = limitsAt(minute)
    while (starting[0] !== undefined && starting[0].at <= minute) ready = Math.max(ready, starting.shift()?.tasks ?? 0)
    ready = Math.min(ready, desired)
    if (now.work > ready) minutesOverCapacity += 1
    const delivered = now.sinkIsDead ? 0 : ready * EVENTS_PER_TASK_MINUTE
    backlog = Math.max(0, backlog + now.work * EVENTS_PER_TASK_MINUTE - delivered)
    for (const [at, { metric }] of policies.entries()) metrics[at]?.push(metric({ ...now, ready, backlog }))

    const wanted = decide(policies, metrics, minute, ready, last)
    const bounded = Math.min(maxTasks, Math.max(minTasks, wanted ?? desired))
    if (bounded > desired) {
      starting.push({ at: minute + START_MINUTES, tasks: bounded })
      if (wanted !== undefined) last.out = minute
      if (direction < 0) turns += 1
      direction = 1
    } else if (bounded < desired) {
      last.in = minute
      if (direction > 0) turns += 1
      direction = -1
    }
    desired = bounded
    tasks.push(desired)
  }
  const highest = Math.max(...load.map(({ work }) => work))
  return { minutesOverCapacity, overshoot: Math.max(...tasks) / fitting(highest), turns, tasks }
}

/** How many tasks the policies ask for together; undefined: as many as there are. */
function decide(
  policies: readonly Policy[],
  metrics: readonly (readonly (number | undefined)[])[],
  minute: number,
  ready: number,
  last: { readonly out: number; readonly in: number },
): number | undefined {
  const series = (at: number, count: number) => metrics[at]?.slice(-count) ?? []
  const wantedFor = (metric: number, target: number) => Math.ceil((ready * metric) / target)
  const more = policies.flatMap(({ target, scaleOutCooldownMinutes }, at) => {
    const recent = series(at, HIGH_MINUTES)
    const isHigh = recent.length === HIGH_MINUTES && recent.every((value) => value !== undefined && value > target)
    const isAllowed = minute - last.out >= scaleOutCooldownMinutes
    return isHigh && isAllowed ? [wantedFor(recent.at(-1) ?? 0, target)] : []
  })
  if (more.length > 0) return Math.max(...more)
  const fewer = policies.map(({ target, scaleInCooldownMinutes }, at) => {
    const recent = series(at, LOW_MINUTES)
    const isLow =
      recent.length === LOW_MINUTES && recent.every((value) => value !== undefined && value < LOW_SHARE * target)
    const isAllowed = minute - Math.max(last.in, last.out) >= scaleInCooldownMinutes
    // AWS scales in more slowly than out and does not say how: here, to what would have done in each of those minutes.
    return isLow && isAllowed ? wantedFor(Math.max(...(recent as number[])), target) : undefined
  })
  return fewer.includes(undefined) ? undefined : Math.max(...(fewer as number[]))
}

/** The share of a full task that the policy keeps a task at, where its metric is such a share. */
function relativeTarget({ target }: Policy): number {
  return target > 1 ? target / 100 : target
}
