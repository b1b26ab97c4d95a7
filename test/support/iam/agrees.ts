/** Whether the gate was right, over everything that a run has called. */
import { expect } from 'vitest'
import { account } from '../../../infra/config.ts'
import type { EmulatedAws } from '../emulated-aws.ts'
import { newOperations } from './recorded.ts'
import { isAllowedBySimulator } from './simulated.ts'

/** Each call that was judged, once, by a published simulator; and no operation that is not in the list of the provider. */
export async function expectGateAgrees({ gate, environment }: EmulatedAws): Promise<void> {
  const once = new Map(gate.judged.map((one) => [JSON.stringify([one.role, one.call]), one]))
  const wrong: string[] = []
  for (const { role, call, policies, decision } of once.values()) {
    const same = await isAllowedBySimulator(call, policies).then(
      (allowed) => (allowed === decision.allowed ? '' : `here ${decision.allowed}, there ${allowed}`),
      (error: Error) => error.message,
    )
    if (same !== '') wrong.push(`${role}: ${call.action} on ${call.resource}: ${same}`)
  }
  expect(wrong).toEqual([])
  expect(once.size).toBeGreaterThan(50)
  expect(newOperations(environment.AWS_PROVIDER_VERSION ?? account.awsProviderVersion, gate.judged)).toEqual([])
}
