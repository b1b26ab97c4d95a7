/**
 * Applies exactly what was planned. Before the first change, it compares code, Terraform and the state of every stack
 * with those of the plan. Stacks without changes are compared, too, because others read their outputs. If anything has
 * changed, nothing is applied.
 */
import type { Environment } from '../environment.ts'
import { stackNames } from '../names.ts'
import { TerraformStack } from '../terraform.ts'
import { PLAN_FILE, type Plan, type PlanStore, sha256 } from './saved-plan.ts'

/** The plan is no longer what would be done. Nothing was applied. */
export class StalePlanError extends Error {}

/** The stacks that can be planned now that what they read exists; empty when the environment is complete. */
export async function applyPlan(
  environment: Environment,
  id: string,
  store: PlanStore,
  terraformVersion: string,
): Promise<readonly string[]> {
  const plan = await store.load(id)
  const names = stackNames(environment)
  if (plan.environment !== environment.name || names.join() !== plan.stacks.map(({ name }) => name).join()) {
    throw new StalePlanError(`plan ${id} is of ${plan.environment}, not of ${environment.name}`)
  }
  if (plan.terraformVersion !== terraformVersion) {
    throw new StalePlanError(
      `planned with Terraform ${plan.terraformVersion}, and this is ${terraformVersion}: use the same`,
    )
  }
  await compare(plan, id, store)
  const changing = plan.stacks.filter(({ saved }) => saved)
  for (const [at, { name }] of changing.entries()) {
    console.error(`── ${at + 1} of ${changing.length}: apply ${name}`)
    await new TerraformStack(name).apply(PLAN_FILE)
  }
  return plan.stacks.filter(({ waitsFor }) => waitsFor !== undefined).map(({ name }) => name)
}

async function compare(plan: Plan, id: string, store: PlanStore): Promise<void> {
  for (const planned of plan.stacks) {
    const { name, textSha256, state } = planned
    console.error(`── compare ${name} with its plan`)
    const stack = new TerraformStack(name)
    if (sha256(stack.text) !== textSha256) {
      throw new StalePlanError(`${name}: the code is not what was planned (commit ${plan.commit}): plan again`)
    }
    await store.restore(id, planned)
    await stack.init()
    const now = await stack.statePosition()
    if (now?.lineage !== state?.lineage || now?.serial !== state?.serial) {
      const at = (position = state) => (position ? `serial ${position.serial}` : 'nothing')
      throw new StalePlanError(
        `${name}: the state moved from ${at()} to ${now ? `serial ${now.serial}` : 'nothing'} since the plan: plan again`,
      )
    }
  }
}
