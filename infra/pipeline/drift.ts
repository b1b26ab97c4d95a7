/** Compares the deployed state with the code: a plan that is not saved. A new environment has no drift. */
import type { Environment } from '../environment.ts'
import { stackNames } from '../names.ts'
import { TerraformStack } from '../terraform.ts'
import { planEnvironment } from './plan.ts'

/** Markdown, or nothing when all is as the code says. */
export async function findDrift(environment: Environment, terraformVersion: string): Promise<string> {
  const [first = ''] = stackNames(environment)
  const foundation = new TerraformStack(first)
  await foundation.init()
  if ((await foundation.resources()).length === 0) {
    console.error(`${environment.name} is not deployed: nothing to compare`)
    return ''
  }
  const { plan, summary } = await planEnvironment(environment, terraformVersion)
  const drifted = plan.stacks.filter(({ saved, waitsFor }) => saved !== undefined || waitsFor !== undefined)
  console.error(
    drifted.length === 0 ? `${environment.name} is as the code says` : `${environment.name} is not as the code says`,
  )
  return drifted.length === 0 ? '' : summary
}
