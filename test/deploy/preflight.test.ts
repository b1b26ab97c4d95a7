/** What a team hears before its first deployment, of an account that has nothing yet. AWS is emulated. */
import { rmSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type EmulatedAws, missing, startEmulatedAws } from '../support/emulated-aws.ts'
import { edit, editedProject } from '../support/synth.ts'

const reason = missing()
let aws: EmulatedAws
let project: string

async function check(target: string, edits: readonly (readonly [string, string])[] = []) {
  edit(project, edits)
  const { code, stdout, output } = await aws.run(project, 'npm', 'run', '--silent', 'deploy', '--', 'check', target)
  edit(
    project,
    edits.map(([from, to]) => [to, from]),
  )
  return { code, output, lines: stdout.trim().split('\n') }
}

const iam = (Action: string, parameters: Record<string, string>) =>
  aws.as('emulated').request('iam', { body: { Action, Version: '2010-05-08', ...parameters } })

describe.skipIf(reason)(`before a deployment${reason ? ` (left out: ${reason})` : ''}`, () => {
  beforeAll(async () => {
    aws = await startEmulatedAws()
    project = editedProject([['000000000000', '123456789012']])
  })
  afterAll(async () => {
    await aws?.stop()
    if (project) rmSync(project, { recursive: true, force: true })
  })

  test('a new account: each thing to do is named with the command that does it', async () => {
    const { code, lines } = await check('prod')
    expect(code).toBe(1)
    expect(lines).toContain('✓ account: 123456789012, eu-central-1')
    expect(lines).toContain('✓ zones: eu-central-1a, eu-central-1b, eu-central-1c')
    expect(lines).toContain('✓ Elastic IPs: 0 in use, 3 more needed, 5 allowed (infra/config.ts says 5)')
    expect(lines).toContain('✗ Fargate vCPUs: 72 at most, 6 allowed (infra/config.ts says 100)')
    expect(lines).toContain(
      '  → aws service-quotas request-service-quota-increase --service-code fargate --quota-code L-3032A538 --desired-value 72',
    )
    expect(lines.join('\n')).toMatch(/✗ AWSServiceRoleForECS: not there .*\n {2}→ aws iam create-service-linked-role/)
    expect(lines.join('\n')).toMatch(/✗ zone ZEXAMPLE: .*\n {2}→ write the id of a hosted zone of this account/)
    expect(lines.at(-1)).toBe('4 to do before a deployment of prod.')
  })

  test('once all of it is done, nothing stops it', async () => {
    await aws.call('servicequotas', 'ServiceQuotasV20190624.RequestServiceQuotaIncrease', {
      ServiceCode: 'fargate',
      QuotaCode: 'L-3032A538',
      DesiredValue: 100,
    })
    expect((await iam('CreateServiceLinkedRole', { AWSServiceName: 'ecs.amazonaws.com' })).status).toBe(200)
    const { code, lines } = await check('dev')
    expect([code, lines.at(-1)], lines.join('\n')).toEqual([0, 'Nothing stops a deployment of dev.'])
  })

  test('bootstrap: the one OpenID Connect provider of an account may be there', async () => {
    expect((await check('bootstrap')).code).toBe(0)
    const made = await iam('CreateOpenIDConnectProvider', { Url: 'https://token.actions.githubusercontent.com' })
    expect(made.status).toBe(200)
    const { code, lines } = await check('bootstrap')
    expect(code).toBe(1)
    expect(lines.join('\n')).toContain("set github.oidcProvider: 'existing'")
    const existing = [["deploys: ['dev']", "deploys: ['dev'], oidcProvider: 'existing'"]] as const
    expect((await check('bootstrap', existing)).code).toBe(0)
  })

  test('credentials of another account end it at once', async () => {
    const { code, lines } = await check('dev', [['123456789012', '111122223333']])
    expect(code).toBe(1)
    expect(lines).toContain('✗ account: these are of 123456789012, infra/config.ts says 111122223333')
    expect(lines).toContain('  → use credentials of that account, or correct account.id')
    expect(lines).toHaveLength(4)
  })
})
