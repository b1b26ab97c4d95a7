/**
 * Plans one environment. Changes nothing. Stacks that exist are planned at once, and afterwards those are discarded that read what
 * another one will change.
 */
import { execFileSync } from 'node:child_process'
import type { Environment } from '../environment.ts'
import { requireLogToStay } from '../former-log.ts'
import { stackNames } from '../names.ts'
import { dependenciesOf, type StatePosition, TerraformStack } from '../terraform.ts'
import { fingerprint, PLAN_FILE, type Plan, type PlannedStack, sha256 } from './saved-plan.ts'
import { type PlanDocument, summarise } from './summary.ts'

export interface Planned {
  readonly plan: Plan
  /** Markdown, without secrets. */
  readonly summary: string
}

export async function planEnvironment(environment: Environment, terraformVersion: string): Promise<Planned> {
  const stacks = stackNames(environment).map((name) => new TerraformStack(name))
  // One after the other: a shared plugin cache is not safe for several at once.
  for (const stack of stacks) await stack.init()
  await requireLogToStay(environment)
  console.error(`── plan ${stacks.map(({ name }) => name).join(', ')}`)
  const states = new Map<string, StatePosition>()
  await Promise.all(
    stacks.map(async (stack) => {
      const state = await stack.statePosition()
      if (state) states.set(stack.name, state)
    }),
  )
  const tried = await Promise.all(
    stacks.map((stack) =>
      dependenciesOf(stack.name).every((name) => states.has(name)) ? tryToPlan(stack) : undefined,
    ),
  )

  /** Stacks whose outputs do not exist yet, or will change: a stack that reads one of them cannot be planned either. */
  const moving = new Set(stacks.map(({ name }) => name).filter((name) => !states.has(name)))
  const documents = new Map<string, PlanDocument>()
  const planned = stacks.map((stack, at): PlannedStack => {
    const { name } = stack
    const state = states.get(name)
    const known = { name, textSha256: sha256(stack.text), ...(state && { state }) }
    const waitsFor = dependenciesOf(name).find((dependency) => moving.has(dependency))
    if (waitsFor !== undefined) {
      moving.add(name)
      return { ...known, waitsFor }
    }
    const result = tried[at]
    if (!result || 'failure' in result) throw result?.failure
    documents.set(name, result.document)
    if (movesOutputs(result.document)) moving.add(name)
    return { ...known, ...(result.changes && { saved: fingerprint(name) }) }
  })
  const plan: Plan = { environment: environment.name, commit: commit(), terraformVersion, stacks: planned }
  return { plan, summary: summarise(plan, documents) }
}

/** A failure counts only where nothing that the stack reads is about to change: the caller knows that, once all are planned. */
async function tryToPlan(stack: TerraformStack) {
  try {
    const changes = await stack.plan(PLAN_FILE)
    // To show a plan starts the provider once more; of one that changes nothing, outputs included, there is nothing to show.
    const document = changes ? ((await stack.show(PLAN_FILE)) as PlanDocument) : {}
    console.error(`── planned ${stack.name}`)
    return { changes, document }
  } catch (failure) {
    return { failure }
  }
}

function movesOutputs({ output_changes: changes = {} }: PlanDocument): boolean {
  return Object.values(changes).some(({ actions }) => actions.join() !== 'no-op')
}

function commit(): string {
  try {
    return execFileSync('git', ['rev-parse', 'HEAD'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim()
  } catch {
    return 'unknown' // not a checkout
  }
}
