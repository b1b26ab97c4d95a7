/**
 * The first deployment of an environment: whatever is missing, in order, after one question.
 *
 *     bootstrap ─▶ its state moves into the bucket ─▶ image ─▶ foundation ─▶ monitoring ─▶ service
 *
 * Nothing remembers how far it came but AWS and the states: after an end of any kind the same command goes on.
 */
import { CreateServiceLinkedRoleCommand, IAMClient } from '@aws-sdk/client-iam'
import { requireReleased } from '../check-config.ts'
import type { Environment } from '../environment.ts'
import { bootstrapName, imageRepository, stackNames } from '../names.ts'
import type { Place } from '../place.ts'
import { type Finding, linkedServices, preflight } from '../preflight.ts'
import { costOf } from '../sizing/cost.ts'
import { synthesiseStacks, TerraformError, TerraformStack } from '../terraform.ts'
import { applyStack } from './apply.ts'
import { type Builder, findBuilder } from './builder.ts'
import { requireYes } from './confirm.ts'
import { hasImage, pushImage } from './image.ts'
import { endOnSignals, requireGoingOn } from './interruptible.ts'
import { type BootstrapState, bootstrapState, FileState, isComplete } from './state.ts'

export interface Target {
  readonly place: Place
  /** Undefined: bootstrap alone. */
  readonly environment: Environment | undefined
  /** Do not ask. */
  readonly approved: boolean
}

/** What is to be done. */
interface Work extends Target {
  readonly bootstrap: BootstrapState
  /** Undefined: the image is there. */
  readonly builder: Builder | undefined
}

/** What the stacks of an environment hold. */
const CONTENTS = ['network, keys, buckets, the home of the log', 'metrics, alarms, budget', 'load balancer, tasks']

/**
 * @returns whether it was one: false where all of it was deployed before, and nothing was done.
 * @throws ConfigError, TerraformError, InterruptedError; each message says what to do.
 */
export async function deployFirst(target: Target): Promise<boolean> {
  const { place, environment } = target
  const bootstrap = await bootstrapState(place)
  if (bootstrap === 'lost') throw new TerraformError(lost(place))
  if (bootstrap === 'bucket') {
    await new FileState(place).removeFile() // it may have ended just before that
    if (environment === undefined || (hasImage(environment) && (await isComplete(place, environment)))) return false
  }
  const work: Work = { ...target, bootstrap, builder: builderFor(target) }
  await agree(work)
  endOnSignals()
  if (bootstrap !== 'bucket') await makeBootstrap(work)
  if (environment !== undefined) await makeEnvironment(work, environment)
  return true
}

/** Images of all accounts are in the first one. @throws ConfigError where that is another one. */
function builderFor({ place, environment }: Target): Builder | undefined {
  if (environment === undefined || hasImage(environment)) return undefined
  if (place.id !== place.images.id) requireReleased(environment)
  return findBuilder()
}

/** Says what will be done and what it costs, and asks. */
async function agree(work: Work): Promise<void> {
  const { place, environment, approved } = work
  console.error(
    `${environment?.name ?? bootstrapName(place)} in account ${place.id}, ${place.region}: to do, in this order`,
  )
  for (const [at, [what, holds]] of stepsOf(work).entries()) console.error(`  ${at + 1}. ${what.padEnd(20)} ${holds}`)
  if (work.bootstrap === 'none')
    for (const { text, fix } of await concerns(place, environment)) console.error(`  ✗ ${text}\n    → ${fix}`)
  if (environment) {
    const usd = costOf(environment).reduce((sum, { usdPerMonth }) => sum + usdPerMonth, 0)
    console.error(
      `It costs about $${usd.toFixed(0)} a month at rest. npm run destroy -- ${environment.name} ends that.`,
    )
  }
  await requireYes(approved)
}

function stepsOf({
  place,
  environment,
  bootstrap,
  builder,
}: Work): readonly (readonly [what: string, holds: string])[] {
  const image = `built with ${builder}, pushed to ${imageRepository(place)}`
  return [
    ...(bootstrap === 'bucket'
      ? []
      : [[bootstrapName(place), 'bucket of the states, image repository, roles'] as const]),
    ...(builder === undefined ? [] : [['image', image] as const]),
    ...(environment ? stackNames(environment).map((name, at) => [name, CONTENTS[at] ?? ''] as const) : []),
  ]
}

/** What may stop it later, in an account where nothing is yet. Roles of services are made here. */
async function concerns(place: Place, environment: Environment | undefined): Promise<readonly Finding[]> {
  const found: Finding[] = []
  for (const about of new Set([undefined, environment])) {
    for await (const finding of preflight(place, about)) {
      if (finding.fix !== undefined && !finding.text.startsWith('AWSServiceRoleFor')) found.push(finding)
    }
  }
  return found
}

async function makeBootstrap({ place, environment, bootstrap }: Work): Promise<void> {
  const name = bootstrapName(place)
  console.error(`── ${name}`)
  for (const service of environment ? linkedServices(environment) : []) await makeServiceLinkedRole(place, service)
  synthesiseStacks()
  const state = new FileState(place)
  await state.use(bootstrap)
  const result = await applyStack(new TerraformStack(name))
  await state.toBucket()
  console.error(`${name.padEnd(20)} ${result} Its state is in the bucket.`)
}

/** The first resource of the service would make it as well, and may fail while that role is not known everywhere. */
async function makeServiceLinkedRole({ region }: Place, service: string): Promise<void> {
  const AWSServiceName = `${service.toLowerCase()}.amazonaws.com`
  const made = await new IAMClient({ region })
    .send(new CreateServiceLinkedRoleCommand({ AWSServiceName }))
    .catch((error: Error) => error)
  if (!(made instanceof Error)) console.error(`  made AWSServiceRoleFor${service}`)
  // What else keeps it from being made is said when that resource needs it.
  else if (!/taken|already exists/.test(made.message)) {
    console.error(`  AWSServiceRoleFor${service} was not made: ${made.message}`)
  }
}

async function makeEnvironment({ place, builder }: Work, environment: Environment): Promise<void> {
  requireGoingOn()
  if (builder !== undefined) {
    console.error(`── image, with ${builder}`)
    const digest = await pushImage(place, builder)
    console.error(`${'image'.padEnd(20)} pushed; infra/config.ts names it now: ${digest}. Commit that.`)
  }
  synthesiseStacks()
  for (const name of stackNames(environment)) {
    requireGoingOn()
    console.error(`── ${name}`)
    const stack = new TerraformStack(name)
    await stack.init()
    console.error(`${name.padEnd(20)} ${await applyStack(stack)}`)
  }
}

function lost(place: Place): string {
  const file = `terraform.${bootstrapName(place)}.tfstate`
  return (
    `The state bucket is there, and neither it nor this directory has the state of ${bootstrapName(place)}: ` +
    `run this where ${file} is, or bring that file here. If nobody has it, remove what bootstrap made, and begin again.`
  )
}
