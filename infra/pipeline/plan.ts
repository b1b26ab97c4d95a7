/** Plans one environment, stack by stack in the order they depend on each other. Changes nothing. */
import { execFileSync } from 'node:child_process'
import type { Environment } from '../environment.ts'
import { stackNames } from '../names.ts'
import { dependenciesOf, TerraformStack } from '../terraform.ts'
import { fingerprint, PLAN_FILE, type Plan, type PlannedStack, sha256 } from './saved-plan.ts'
import { type PlanDocument, summarise } from './summary.ts'

export interface Planned {
  readonly plan: Plan
  /** Markdown, without secrets. */
  readonly summary: string
}

export async function planEnvironment(environment: Environment, terraformVersion: string): Promise<Planned> {
  const stacks: PlannedStack[] = []
  const documents = new Map<string, PlanDocument>()
  /** Stacks whose outputs do not exist yet, or will be others. */
  const moving = new Set<string>()
  const names = stackNames(environment)
  for (const [at, name] of names.entries()) {
    console.error(`── ${at + 1} of ${names.length}: plan ${name}`)
    const stack = new TerraformStack(name)
    await stack.init()
    const state = await stack.statePosition()
    const known = { name, textSha256: sha256(stack.text), ...(state && { state }) }
    const waitsFor = dependenciesOf(name).find((dependency) => moving.has(dependency))
    if (waitsFor !== undefined) {
      // Whoever reads this one cannot be planned either.
      moving.add(name)
      stacks.push({ ...known, waitsFor })
      continue
    }
    const changes = await stack.plan(PLAN_FILE)
    const document = (await stack.show(PLAN_FILE)) as PlanDocument
    documents.set(name, document)
    if (Object.values(document.output_changes ?? {}).some(({ actions }) => actions.join() !== 'no-op')) moving.add(name)
    stacks.push({ ...known, ...(changes && { saved: fingerprint(name) }) })
  }
  const plan: Plan = { environment: environment.name, commit: commit(), terraformVersion, stacks }
  return { plan, summary: summarise(plan, documents) }
}

function commit(): string {
  try {
    return execFileSync('git', ['rev-parse', 'HEAD'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim()
  } catch {
    return 'unknown' // not a checkout
  }
}
