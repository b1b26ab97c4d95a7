/** Names that more than one stack must agree on. */
import type { Environment, Tasks } from './environment.ts'

export type Role = keyof Environment['tasks']

export const REPOSITORY = 'millrace'

export function prefix(environment: Environment): string {
  return `millrace-${environment.name}`
}

/** The services of an environment with their sizes, in the order events pass them. */
export function servicesOf(environment: Environment): readonly { readonly role: Role; readonly tasks: Tasks }[] {
  const roles: readonly Role[] = environment.profile === 'single' ? ['all'] : ['ingest', 'deliver']
  return roles.flatMap((role) => {
    const tasks = environment.tasks[role]
    return tasks ? [{ role, tasks }] : []
  })
}

/** Parameter with the collector's configuration: written by monitoring, read by the tasks at their start. */
export function collectorParameter(environment: Environment): string {
  return `/millrace/${environment.name}/collector`
}
