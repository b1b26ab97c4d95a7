/** One whole environment with OpenTofu instead of Terraform, from nothing to nothing left to do, and the module of another one. */
import { spawnSync } from 'node:child_process'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type EmulatedAws, missing, startEmulatedAws } from '../support/emulated-aws.ts'
import { editedProject } from '../support/synth.ts'

const ACCOUNT = '123456789012'
const DIGEST = `sha256:${'a'.repeat(64)}`
const reason = missing()
const noTofu = spawnSync('tofu', ['version']).status === 0 ? undefined : 'tofu is not on the PATH'

let aws: EmulatedAws
let project: string

beforeAll(async () => {
  if (reason) return
  aws = await startEmulatedAws()
  project = editedProject([
    ['000000000000', ACCOUNT],
    ["'0'.repeat(64)", "'a'.repeat(64)"],
    ['protectState: true', 'protectState: false'],
  ])
}, 180_000)
afterAll(async () => {
  await aws?.stop()
  if (project) rmSync(project, { recursive: true, force: true })
})

async function succeed(directory: string, command: string, ...args: string[]): Promise<string> {
  const { code, output } = await aws.run(directory, command, ...args)
  expect(code, output.slice(-4000)).toBe(0)
  return output
}

describe.skipIf(reason)(`a module of plain Terraform${reason ? ` (left out: ${reason})` : ''}`, () => {
  const moduleCall = (name: string, more = '') => `
provider "aws" {
  region                      = "eu-central-1"
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  s3_use_path_style           = true
  default_tags { tags = { Project = "millrace", Environment = "${name}" } }
}
module "millrace" {
  source       = "../module-${name}"
  name         = "mine"
  account_id   = "${ACCOUNT}"
  region       = "eu-central-1"
  image        = "ghcr.io/example/millrace@${DIGEST}"
  alerts_email = "somebody@example.net"
  ${more}
}
output "url" { value = module.millrace.url }
`
  async function root(name: string, more?: string): Promise<string> {
    await succeed(project, 'npm', 'run', '--silent', 'synth', '--', '--module', `module-${name}`, name)
    const directory = join(project, `root-${name}`)
    mkdirSync(directory)
    writeFileSync(join(directory, 'main.tf'), moduleCall(name, more))
    await succeed(directory, 'terraform', 'init', '-input=false', '-no-color')
    return directory
  }

  test('with Kafka and a domain: valid', async () => {
    const prod = await root('prod', 'domain_name = "events.example.net"\n  hosted_zone_id = "Z0123"')
    expect(await succeed(prod, 'terraform', 'validate', '-no-color')).toContain('The configuration is valid')
  })

  test('with one task: valid, applied, and nothing is left to do', async () => {
    const dev = await root('dev', 'allowed_cidr = "203.0.113.0/24"')
    const applied = await succeed(dev, 'terraform', 'apply', '-auto-approve', '-input=false', '-no-color')
    expect(applied).toMatch(/Apply complete! Resources: \d\d+ added, 0 changed, 0 destroyed/)
    expect(applied).toMatch(/url = "http:\/\/millrace-mine/)
    const { code, output } = await aws.run(dev, 'terraform', 'plan', '-input=false', '-detailed-exitcode', '-no-color')
    expect(code, output.slice(-2000)).toBe(0)
  })
})

const left = reason ?? noTofu
describe.skipIf(left)(`one whole environment with OpenTofu${left ? ` (left out: ${left})` : ''}`, () => {
  test('bootstrap and dev by one command, and nothing is left to do', async () => {
    const tofu = 'TERRAFORM_BINARY_NAME=tofu'
    const output = await succeed(
      project,
      'env',
      tofu,
      'npm',
      'run',
      '--silent',
      'deploy',
      '--',
      'dev',
      '--auto-approve',
    )
    for (const stack of ['bootstrap', 'dev-foundation', 'dev-monitoring', 'dev-service']) {
      expect(output).toMatch(
        new RegExp(`^${stack} +Apply complete! Resources: \\d+ added, 0 changed, 0 destroyed`, 'm'),
      )
      const plan = ['plan', '-input=false', '-detailed-exitcode', '-no-color']
      const { code, output: planned } = await aws.run(project, 'tofu', `-chdir=cdktf.out/stacks/${stack}`, ...plan)
      expect(code, `${stack}: ${planned.slice(-2000)}`).toBe(0)
    }
  })
})
