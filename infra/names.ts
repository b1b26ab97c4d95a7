/** Names that more than one stack must agree on. */
import type { Account, Environment, Tasks } from './environment.ts'
import type { Place } from './place.ts'

export type Role = keyof Environment['tasks']

export const REPOSITORY = 'millrace'

/** The name of the stack that bootstraps the account of the place. */
export function bootstrapName({ id, images }: Place): string {
  return id === images.id ? 'bootstrap' : `bootstrap-${id}`
}

/** Where images are, without tag. */
export function imageRepository({ images: { id, region } }: Place): string {
  return `${id}.dkr.ecr.${region}.amazonaws.com/${REPOSITORY}`
}

export function imageRepositoryArn({ images: { id, region } }: Place): string {
  return `arn:aws:ecr:${region}:${id}:repository/${REPOSITORY}`
}

export function prefix({ name }: Pick<Environment, 'name'>): string {
  return `millrace-${name}`
}

/** The stacks of an environment, in the order they depend on each other. */
export function stackNames({ name }: Environment): readonly string[] {
  return ['foundation', 'monitoring', 'service'].map((stack) => `${name}-${stack}`)
}

/** Made by bootstrap; holds the states, and saved plans below `PLANS_PREFIX`. */
export function stateBucketName({ id, stateRegion }: Place): string {
  return `millrace-state-${id}-${stateRegion}`
}

export const PLANS_PREFIX = 'plans/'

/** A role of the workflows. One that applies is of one environment: to approve dev is no power over prod. */
export type PipelineRole = 'plan' | 'push' | `apply-${Environment['name']}`

export function githubRoleName(role: PipelineRole): string {
  return `millrace-github-${role}`
}

export function githubRoleArn({ id }: Account, role: PipelineRole): string {
  return `arn:aws:iam::${id}:role/${githubRoleName(role)}`
}

/** The services of an environment with their sizes, in the order events pass them. */
export function servicesOf(environment: Environment): readonly { readonly role: Role; readonly tasks: Tasks }[] {
  const { profile, formerLog } = environment
  const scaled: readonly Role[] = formerLog === 'drain' ? ['ingest', 'deliver', 'all'] : ['ingest', 'deliver']
  const roles: readonly Role[] = profile === 'single' ? ['all'] : scaled
  return roles.flatMap((role) => {
    const tasks = environment.tasks[role]
    return tasks ? [{ role, tasks }] : []
  })
}

/** How many NAT gateways, each with an address, are made. */
export function natsOf({ natGateways, zones }: Environment): number {
  return { none: 0, one: 1, 'per-zone': zones.length }[natGateways]
}

/** Of all its tasks, at their most. */
export function vcpusOf(environment: Environment): number {
  return servicesOf(environment).reduce((sum, { tasks }) => sum + (tasks.maxTasks * tasks.cpu) / 1024, 0)
}

/** Parameter with the collector's configuration: written by monitoring, read by the tasks at their start. */
export function collectorParameter({ name }: Pick<Environment, 'name'>): string {
  return `/millrace/${name}/collector`
}

/** Terraform's variable with the range that `allowedCidrs: 'me'` stands for. */
export const CALLER_VARIABLE = 'caller_cidr'

/** In the archive bucket: what the s3 sink writes. */
export const ARCHIVE_PREFIX = 'events/'
/** Of it, what it rewrites all the time and reads itself. */
export const ARCHIVE_CUTS_PREFIX = `${ARCHIVE_PREFIX}_millrace/`
