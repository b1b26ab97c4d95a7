/**
 * The deployment as a team does it from its own machines: the same commands, the real cdktf, terraform and AWS provider; only AWS
 * is emulated. Bootstrap is made by an administrator, dev with the rights of its apply role.
 *
 * Not emulated, so not covered here: DNS validation of certificates (environments with a domain), and what AWS does with
 * what it was told (tasks do not run, alarms do not ring).
 */
import { existsSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { stripVTControlCharacters } from 'node:util'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { archivedEvent } from '../support/archive.ts'
import { type EmulatedAws, missing, type Ran, type Session, startEmulatedAws } from '../support/emulated-aws.ts'
import { expectGateAgrees } from '../support/iam/agrees.ts'
import { startTaskRole } from '../support/kafka-iam.ts'
import { sessionOf } from '../support/pipeline.ts'
import {
  EMULATED_ACCOUNT as ACCOUNT,
  DEPLOYABLE,
  DEV_FORGETS_ITS_LOG,
  DEV_KEEPS_ITS_LOG,
  DEV_SCALED_AND_DRAINING,
  edit,
  editedProject,
} from '../support/synth.ts'
import { send, startTask } from '../support/task.ts'

const REGION = 'eu-central-1'
const STACKS = ['foundation', 'monitoring', 'service']
const reason = missing()

let aws: EmulatedAws
let project: string
/** Who runs the commands. */
let who: Pick<Session, 'run'>

const CI = ['--auto-approve', '--skip-provider-lock']

async function succeed(command: string, ...args: string[]): Promise<string> {
  const { code, output } = await who.run(project, 'npm', 'run', '--silent', command, '--', ...args)
  if (code !== 0) throw new Error(`npm run ${command} -- ${args.join(' ')} ended with ${code}:\n${output.slice(-4000)}`)
  return output
}

/** Plain terraform, as it stays usable without cdktf. */
function terraform(stack: string, ...args: string[]): Promise<Ran> {
  return who.run(project, 'terraform', `-chdir=cdktf.out/stacks/${stack}`, ...args)
}

/** Resources that a plan would touch, by what it would do. */
async function planned(stack: string): Promise<string[]> {
  const { code, output } = await terraform(stack, 'plan', '-input=false', '-detailed-exitcode', '-out=plan')
  expect([0, 2], `plan of ${stack}: ${output.slice(-2000)}`).toContain(code)
  if (code === 0) return [] // to show a plan starts the provider once more
  const { stdout } = await terraform(stack, 'show', '-json', 'plan')
  const { resource_changes: changes = [] } = JSON.parse(stdout)
  return (changes as { address: string; mode: string; change: { actions: string[] } }[])
    .filter(({ mode, change }) => mode === 'managed' && !['no-op', 'read'].includes(change.actions.join()))
    .map(({ address, change }) => `${change.actions.join('+')} ${address}`)
}

const report: string[] = []

describe.skipIf(reason)(`deployed into an emulated AWS${reason ? ` (left out: ${reason})` : ''}`, () => {
  beforeAll(async () => {
    aws = await startEmulatedAws()
    who = aws
    project = editedProject(DEPLOYABLE)
  })
  afterAll(async () => {
    const odd = aws?.calls().filter((call) => !call.startsWith('once '))
    report.push(`${aws?.calls().length} calls of AWS; came twice, or not emulated: ${odd.join(', ') || 'none'}`)
    console.error(report.join('\n'))
    await aws?.stop()
    if (project) rmSync(project, { recursive: true, force: true })
  })

  test('bootstrap: made once, nothing to do the second time', async () => {
    const output = await succeed('deploy', 'bootstrap', ...CI)
    const [, added] = /bootstrap\s+Apply complete! Resources: (\d+) added, 0 changed, 0 destroyed/.exec(output) ?? []
    expect(Number(added)).toBeGreaterThan(20)
    expect(output).toContain('Its state is in the bucket.')
    expect(await planned('bootstrap')).toEqual([])
    report.push(`bootstrap            ${added} created, 0 to do on the second plan`)
  })

  test('dev: made in one command, nothing to do the second time', async () => {
    who = await sessionOf(aws, 'apply-dev', 'dev')
    const output = await succeed('deploy', 'dev', ...CI)
    for (const stack of STACKS.map((part) => `dev-${part}`)) {
      const done = new RegExp(`^${stack}\\s+Apply complete! Resources: (\\d+) added, 0 changed, 0 destroyed`, 'm')
      const [, added] = done.exec(output) ?? []
      expect(Number(added), stack).toBeGreaterThan(10)
      expect(await planned(stack), `second plan of ${stack}`).toEqual([])
      report.push(`${stack.padEnd(20)} ${added} created, 0 to do on the second plan`)
    }
    expect(output).toMatch(/^http:\/\/millrace-\w+.*plain HTTP, reachable from nowhere yet/m)
    expect(output).toMatch(/Next: +curl -i http/)
  })

  test('the app takes an event with the environment of its task, and archives it with the rights of its role', async () => {
    const credentials = await startTaskRole(await aws.gate.taskCredentials('millrace-dev-all-task'))
    onTestFinished(() => credentials.stop())
    const app = await startTask(aws, 'dev', 'all', {
      S3_SINK_ENDPOINT: aws.gate.url,
      S3_SINK_ROLL_MS: '1000',
      ...credentials.environment,
    })
    expect(app.output()).toContain('"Namespace":"Millrace"')
    expect((await send(app.url, { id: 1 })).status).toBe(401)
    const answer = await send(app.url, { id: 1 }, app.key)
    expect([answer.status, await answer.json()]).toEqual([202, { accepted: 1 }])
    const bucket = `millrace-dev-archive-${ACCOUNT}-${REGION}`
    const archived = await archivedEvent({ endpoint: aws.gate.url, region: REGION, bucket }, app.output)
    expect(archived).toMatchObject({ encryption: 'aws:kms', event: { id: '1', data: 'Event 1' } })
    expect(app.output()).not.toContain(app.key)
  })

  test('one changed value is all that the next plan shows', async () => {
    edit(project, [['budgetUsdPerMonth: 150', 'budgetUsdPerMonth: 175']])
    const output = await succeed('plan', 'dev', '--skip-provider-lock')
    expect(output).toMatch(/dev-monitoring\s+Plan: 0 to add, 1 to change, 0 to destroy/)
    const changes = stripVTControlCharacters(output).matchAll(/# (\S+) .*(?:will|must) be (\w+)/g)
    expect([...changes].map(([, address, what]) => `${address} ${what}`)).toEqual(['aws_budgets_budget.budget updated'])
  })

  test('a release whose tasks never start is rolled back, and applying it says so and fails', async () => {
    const release = async (from: string, to: string) => {
      edit(project, [[`'${from}'.repeat(64)`, `'${to}'.repeat(64)`]])
      await succeed('synth')
      return terraform('dev-service', 'apply', '-auto-approve', '-input=false', '-no-color')
    }
    const { code, output } = await release('a', 'f')
    expect([code, output]).toEqual([1, expect.stringMatching(/all was rolled back: it runs what it ran before/)])
    expect((await release('f', 'a')).code).toBe(0)
  })

  test('no state holds the API key', async () => {
    const { SecretString: secret = 'none' } = await aws.call('secretsmanager', 'secretsmanager.GetSecretValue', {
      SecretId: 'millrace-dev/api-keys',
    })
    const [, key = ''] = String(secret).split(':')
    expect(key.length).toBe(40)
    for (const part of STACKS) {
      const { stdout: state } = await terraform(`dev-${part}`, 'state', 'pull')
      expect(state).toContain('"serial"')
      expect(state.includes(key), part).toBe(false)
    }
  })

  test('from single to scaled: the disk with the log goes only after its task', async () => {
    const withoutDraining = DEV_SCALED_AND_DRAINING.map(
      ([from, to]) => [from, to.replace("\n    formerLog: 'drain',", '')] as const,
    )
    edit(project, withoutDraining)
    const { code, output } = await who.run(project, 'npm', 'run', '--silent', 'deploy', '--', 'dev', ...CI)
    expect([code, output]).toEqual([
      2,
      expect.stringMatching(/its log is on the disk that would go: set formerLog: 'drain'/),
    ])
    const disks = async () => {
      const { stdout } = await terraform('dev-foundation', 'state', 'list')
      return stdout.split('\n').filter((line) => line.startsWith('aws_efs_file_system.')).length
    }
    edit(project, [
      ["profile: 'scaled',\n    cidr: '10.10.", "profile: 'scaled',\n    formerLog: 'drain',\n    cidr: '10.10."],
    ])
    await succeed('deploy', 'dev', ...CI)
    expect(await disks()).toBe(1)
    edit(project, DEV_KEEPS_ITS_LOG)
    await succeed('deploy', 'dev', ...CI)
    expect(await disks()).toBe(1)
    edit(project, DEV_FORGETS_ITS_LOG)
    await succeed('deploy', 'dev', ...CI)
    expect(await disks()).toBe(0)
    for (const part of STACKS) expect(await planned(`dev-${part}`), part).toEqual([])
  })

  test('dev: destroyed, nothing is left', async () => {
    const output = await succeed('destroy', 'dev', ...CI)
    for (const stack of STACKS.map((part) => `dev-${part}`)) {
      const [, gone] = new RegExp(`^${stack}\\s+Destroy complete! Resources: (\\d+) destroyed`, 'm').exec(output) ?? []
      expect(Number(gone), stack).toBeGreaterThan(10)
      expect((await terraform(stack, 'state', 'list')).stdout.trim(), stack).toBe('')
      report.push(`${stack.padEnd(20)} ${gone} destroyed`)
    }
  })

  test('no call of the apply role was refused', () => {
    expect(aws.gate.failures).toEqual([])
    expect(aws.gate.denials).toEqual([])
    report.push(`${aws.gate.judged.length} actions of the apply role judged, none refused`)
    who = aws
  })

  test('a published simulator of IAM judges all of it the same, and no operation is new', async () => {
    await expectGateAgrees(aws)
  })

  test('bootstrap can be taken down again, with the bucket of its state', async () => {
    const output = await succeed('destroy', 'bootstrap', ...CI)
    const [, gone] = /^bootstrap\s+Destroy complete! Resources: (\d+) destroyed/m.exec(output) ?? []
    expect(Number(gone)).toBeGreaterThan(20)
    expect(existsSync(join(project, 'terraform.bootstrap.tfstate'))).toBe(false)
    report.push(`bootstrap            ${gone} destroyed`)
    // ECS remembers clusters that are gone, as inactive.
    const ecs = (action: string, body: object) => aws.call('ecs', `AmazonEC2ContainerServiceV20141113.${action}`, body)
    const { clusterArns } = await ecs('ListClusters', {})
    const { clusters } = await ecs('DescribeClusters', { clusters: clusterArns })
    const states = (clusters as unknown as { status: string }[]).map(({ status }) => status)
    expect(states).toEqual(['INACTIVE'])
  })
})
