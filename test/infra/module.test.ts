import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { describe, expect, test } from 'vitest'
import { account, environments } from '../../infra/config.ts'
import { moduleOf } from '../../infra/module.ts'
import { synth, temporaryProject } from '../support/synth.ts'
import { temporaryDirectory } from '../support/temporary.ts'

const PROJECT = resolve(import.meta.dirname, '../..')
const named = (name: string) => environments.find((environment) => environment.name === name) ?? environments[0]!
const { stacks } = synth()

describe.each(environments.map((environment) => [environment.name, environment] as const))(
  '%s',
  (name, environment) => {
    const module = moduleOf(account, environment)
    const text = JSON.stringify(module)

    test('has every resource of its stacks, and reads no state', () => {
      const count = (blocks: object) => Object.values(blocks).flatMap((each) => Object.keys(each as object)).length
      const of = ['foundation', 'monitoring', 'service'].map((part) =>
        count(stacks.get(`${name}-${part}`)?.resource ?? {}),
      )
      const rule = environment.domain || environment.allowedCidrs ? 0 : 1 // a module always says who may send
      expect(count(module.resource as object)).toBe(of.reduce((sum, each) => sum + each, rule))
      expect(text).not.toMatch(/remote_state|backend|"provider"|cross-stack/)
    })

    test('every variable is declared with a description and used; no placeholder and no account is left', () => {
      const used = new Set([...text.matchAll(/\bvar\.(\w+)/g)].map(([, variable]) => variable))
      expect(Object.keys(module.variable)).toEqual([...used].sort())
      for (const { description } of Object.values(module.variable)) expect(description.length).toBeGreaterThan(10)
      expect(text).not.toMatch(/placeholder|9{12}|0{12}/i)
      expect(text.replace('such as eu-central-1', '')).not.toContain(account.region)
    })
  },
)

test('a VPC that is there, a domain: the caller names them', () => {
  const network = {
    vpcId: 'vpc-0123abcd',
    privateSubnetIds: ['subnet-0000000a', 'subnet-0000000b', 'subnet-0000000c'],
    publicSubnetIds: ['subnet-0000000d', 'subnet-0000000e', 'subnet-0000000f'],
  }
  const module = moduleOf(account, { ...named('prod'), network, natGateways: 'none', interfaceEndpoints: [] })
  const names = ['domain_name', 'hosted_zone_id', 'private_subnet_ids', 'public_subnet_ids', 'vpc_id']
  expect(Object.keys(module.variable)).toEqual(expect.arrayContaining(names))
  const text = JSON.stringify(module)
  expect(text).toContain(`\${var.private_subnet_ids[2]}`)
  expect(text).not.toMatch(/vpc-0123abcd|subnet-0000000/)
})

test('the command writes it with a README that names each variable', () => {
  const project = temporaryProject([])
  const folder = join(temporaryDirectory(), 'modules/millrace')
  const run = (...args: string[]) =>
    spawnSync(process.execPath, [join(PROJECT, 'infra/deploy.ts'), 'synth', ...args], {
      cwd: project,
      encoding: 'utf8',
    })
  const { status, stderr } = run('--module', folder, 'dev')
  expect([status, stderr]).toEqual([0, `${folder}: dev as a module of Terraform; its README.md says how to call it\n`])
  const { variable } = JSON.parse(readFileSync(join(folder, 'millrace.tf.json'), 'utf8'))
  const readme = readFileSync(join(folder, 'README.md'), 'utf8')
  for (const name of Object.keys(variable)) expect(readme).toContain(`\`${name}\``)
  expect(run('--module', folder, 'live').stderr).toMatch(/unknown environment "live": infra\/config\.ts has dev/)
})
