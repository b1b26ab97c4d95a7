/** Input series for promtool, in its notation, from what they mean. One sample a step. */

/** A stretch of samples: how much, for how many steps. */
export type Stretch = readonly [amount: number, steps: number]

/** Rises by `amount` a step, from 0. */
export function counter(...stretches: readonly Stretch[]): string {
  let value = 0
  const parts = stretches.map(([amount, steps]) => {
    const part = `${value + amount}+${amount}x${steps - 1}`
    value += amount * steps
    return part
  })
  return ['0', ...parts].join(' ')
}

/** Is `amount`. */
export function gauge(...stretches: readonly Stretch[]): string {
  return stretches.map(([amount, steps]) => `${amount}+0x${steps - 1}`).join(' ')
}

/** Goes from `from` by `amount` a step. */
export function ramp(from: number, ...stretches: readonly Stretch[]): string {
  let value = from
  const parts = stretches.map(([amount, steps]) => {
    const part = `${value}${amount < 0 ? '-' : '+'}${Math.abs(amount)}x${steps - 1}`
    value += amount * steps
    return part
  })
  return parts.join(' ')
}

export type Series = Readonly<Record<string, string>>

/** Who writes a series: the collector beside a task, or a Prometheus that scrapes without one. */
export type Labels = Readonly<Record<string, string>>

/**
 * What the collector puts on each series of a task: the task's id as `instance`, the role, the environment, and what it
 * detected of ECS.
 */
export function task(role: string, id: string): Labels {
  return {
    job: 'millrace',
    instance: id,
    role,
    environment: 'prod',
    aws_ecs_task_id: id,
    aws_ecs_task_family: `millrace-prod-${role}`,
    cloud_provider: 'aws',
    service_instance_id: id,
    service_name: 'millrace',
  }
}

/** A service that Prometheus scrapes itself. */
export const SCRAPED: Labels = { job: 'millrace', instance: 'a:9464' }

/** Series of one task: `name{labels}` without the labels of the task, which are added. */
export function of(labels: Labels, series: Series): Series {
  const added = Object.entries(labels).map(([name, value]) => `${name}="${value}"`)
  return Object.fromEntries(
    Object.entries(series).map(([key, values]) => {
      const [, metric = '', own = ''] = /^(\w+)(?:{(.*)})?$/.exec(key) ?? []
      return [`${metric}{${[...added, ...(own === '' ? [] : [own])].join(',')}}`, values]
    }),
  )
}
