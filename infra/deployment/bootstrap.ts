/** Plans and removes bootstrap, whose state is where it cannot stay: in the bucket that it removes, or makes. */
import { bootstrapName } from '../names.ts'
import type { Place } from '../place.ts'
import { synthesiseStacks, TerraformStack } from '../terraform.ts'
import { applyStack } from './apply.ts'
import { requireYes } from './confirm.ts'
import { endOnSignals } from './interruptible.ts'
import { bootstrapState, FileState } from './state.ts'

/** What the first deployment would make, as text; undefined where bootstrap is deployed, and planned like any other stack. */
export async function planFirstBootstrap(place: Place): Promise<string | undefined> {
  const where = await bootstrapState(place)
  if (where === 'bucket') return undefined
  synthesiseStacks()
  await new FileState(place).use(where)
  return new TerraformStack(bootstrapName(place)).planText()
}

/** @param approved do not ask. @returns Terraform's closing line. */
export async function destroyBootstrap(place: Place, approved: boolean): Promise<string> {
  console.error(
    `${bootstrapName(place)}: the states of all environments of account ${place.id}, its images and its roles go.`,
  )
  await requireYes(approved)
  endOnSignals()
  synthesiseStacks()
  const state = new FileState(place)
  await state.use(await bootstrapState(place))
  const result = await applyStack(new TerraformStack(bootstrapName(place)), 'destroy')
  state.forget()
  return result
}
