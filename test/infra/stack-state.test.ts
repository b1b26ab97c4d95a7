/**
 * What a deployed version holds stays in its place: without Terraform, by the addresses of resources. test/deploy/upgrade.test.ts
 * has the real plan, which also finds a replacement.
 */
import { expect, test } from 'vitest'
import { STATE_VERSIONS, statesOf } from '../support/stack-state.ts'
import { DEPLOYABLE, synth, temporaryProject } from '../support/synth.ts'

test.each(STATE_VERSIONS)('each resource of %s that holds data has the address that it had', (version) => {
  const { stacks } = synth(temporaryProject(DEPLOYABLE))
  for (const { stack, dataAddresses } of statesOf(version)) {
    const resources = Object.entries(stacks.get(stack)?.resource ?? {})
    const addresses = resources.flatMap(([type, named]) => Object.keys(named).map((name) => `${type}.${name}`))
    expect(addresses, stack).toEqual(expect.arrayContaining([...dataAddresses]))
  }
})

test('the states have the disk of a log, brokers, buckets, keys, secrets and load balancers', () => {
  const types = statesOf('0.1.0').flatMap(({ dataAddresses }) => dataAddresses.map((address) => address.split('.')[0]))
  for (const type of ['efs_file_system', 'msk_cluster', 's3_bucket', 'kms_key', 'secretsmanager_secret', 'lb', 'vpc']) {
    expect(types).toContain(`aws_${type}`)
  }
})
