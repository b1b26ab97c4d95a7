/**
 * The deployment as a team does it: the same commands, the real cdktf, terraform and AWS provider; only AWS is emulated.
 *
 * Not emulated, so not covered here: DNS validation of certificates (environments with a domain), and what AWS does with
 * what it was told (tasks do not run, alarms do not ring).
 */
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type EmulatedAws, missing, type Ran, startEmulatedAws } from '../support/emulated-aws.ts'
import { type Block, edit, editedProject } from '../support/synth.ts'

const ACCOUNT = '123456789012'
const STACKS = ['foundation', 'monitoring', 'service']
const reason = missing()

let aws: EmulatedAws
/** cdktf works in one directory at a time: one copy of the project for each environment. */
const projects: Record<string, string> = {}

const CI = ['--auto-approve', '--skip-provider-lock']

async function succeed(project: string, command: string, ...args: string[]): Promise<string> {
  const { code, output } = await aws.run(project, 'npm', 'run', '--silent', command, '--', ...args)
  if (code !== 0) throw new Error(`npm run ${command} -- ${args.join(' ')} ended with ${code}:\n${output.slice(-4000)}`)
  return output
}

/** Plain terraform, as it stays usable without cdktf. */
function terraform(project: string, stack: string, ...args: string[]): Promise<Ran> {
  return aws.run(project, 'terraform', `-chdir=cdktf.out/stacks/${stack}`, ...args)
}

/** Resources that a plan would touch, by what it would do. */
async function planned(project: string, stack: string): Promise<string[]> {
  const { code, output } = await terraform(project, stack, 'plan', '-input=false', '-detailed-exitcode', '-out=plan')
  expect([0, 2], `plan of ${stack}: ${output.slice(-2000)}`).toContain(code)
  const { stdout } = await terraform(project, stack, 'show', '-json', 'plan')
  const { resource_changes: changes = [] } = JSON.parse(stdout)
  return (changes as { address: string; mode: string; change: { actions: string[] } }[])
    .filter(({ mode, change }) => mode === 'managed' && !['no-op', 'read'].includes(change.actions.join()))
    .map(({ address, change }) => `${change.actions.join('+')} ${address}`)
}

const report: string[] = []

describe.skipIf(reason)(`deployed into an emulated AWS${reason ? ` (left out: ${reason})` : ''}`, () => {
  beforeAll(async () => {
    aws = await startEmulatedAws()
    for (const name of ['dev', 'prod']) {
      projects[name] = editedProject([
        ['000000000000', ACCOUNT],
        ["'0'.repeat(64)", "'a'.repeat(64)"],
        ['protectState: true', 'protectState: false'],
      ])
    }
  })
  afterAll(async () => {
    const odd = aws?.calls().filter((call) => !call.startsWith('once '))
    report.push(`${aws?.calls().length} calls of AWS; came twice, or not emulated: ${odd.join(', ') || 'none'}`)
    console.error(report.join('\n'))
    await aws?.stop()
    for (const project of Object.values(projects)) rmSync(project, { recursive: true, force: true })
  })

  test('bootstrap: made once, nothing to do the second time', async () => {
    const project = projects.dev ?? ''
    const output = await succeed(project, 'deploy', 'bootstrap', ...CI)
    const [, added] = /bootstrap\s+Apply complete! Resources: (\d+) added, 0 changed, 0 destroyed/.exec(output) ?? []
    expect(Number(added)).toBeGreaterThan(20)
    expect(output).toMatch(new RegExp(`Next: push an image to ${ACCOUNT}\\.dkr\\.ecr\\.`))
    expect(await planned(project, 'bootstrap')).toEqual([])
    report.push(`bootstrap            ${added} created, 0 to do on the second plan`)
  })

  test.each(['dev', 'prod'])(
    '%s: made in one command, nothing to do the second time',
    { concurrent: true },
    async (name) => {
      const project = projects[name] ?? ''
      const output = await succeed(project, 'deploy', name, ...CI)
      for (const stack of STACKS.map((part) => `${name}-${part}`)) {
        const done = new RegExp(`^${stack}\\s+Apply complete! Resources: (\\d+) added, 0 changed, 0 destroyed`, 'm')
        const [, added] = done.exec(output) ?? []
        expect(Number(added), stack).toBeGreaterThan(10)
        expect(await planned(project, stack), `second plan of ${stack}`).toEqual([])
        report.push(`${stack.padEnd(20)} ${added} created, 0 to do on the second plan`)
      }
      expect(output).toMatch(/^http:\/\/millrace-\w+.*plain HTTP, reachable from nowhere yet/m)
      expect(output).toMatch(/Next: +curl -i http/)
    },
  )

  test('one changed value is all that the next plan shows', async () => {
    const project = projects.dev ?? ''
    edit(project, [['budgetUsdPerMonth: 150', 'budgetUsdPerMonth: 175']])
    const output = await succeed(project, 'plan', 'dev', '--skip-provider-lock')
    expect(output).toMatch(/dev-monitoring\s+Plan: 0 to add, 1 to change, 0 to destroy/)
    const changes = []
    for (const part of STACKS) changes.push(...(await planned(project, `dev-${part}`)))
    expect(changes).toEqual(['update aws_budgets_budget.budget'])
  })

  test('the app becomes ready and takes an event with the environment of its task', async () => {
    const ecs = (action: string, body: object) => aws.call('ecs', `AmazonEC2ContainerServiceV20141113.${action}`, body)
    const { services } = await ecs('DescribeServices', { cluster: 'millrace-dev', services: ['all'] })
    const [service] = services as unknown as { taskDefinition: string }[]
    const { taskDefinition } = await ecs('DescribeTaskDefinition', { taskDefinition: service?.taskDefinition })
    const { containerDefinitions } = taskDefinition as unknown as { containerDefinitions: Block[] }
    const app = containerDefinitions.find(({ name }) => name === 'app') ?? {}
    const environment: Record<string, string> = {}
    for (const { name, value } of app.environment as { name: string; value: string }[]) environment[name] = value
    for (const { name, valueFrom } of app.secrets as { name: string; valueFrom: string }[]) {
      const secret = await aws.call('secretsmanager', 'secretsmanager.GetSecretValue', { SecretId: valueFrom })
      environment[name] = secret.SecretString ?? ''
    }
    // Exactly what ECS would set, but for the listeners: a test opens nothing to others, and takes any free port.
    Object.assign(environment, { HOST: '127.0.0.1', PORT: '0', ADMIN_PORT: '0' })

    const directory = mkdtempSync(join(tmpdir(), 'millrace-task-'))
    const cli = resolve(import.meta.dirname, '../../app/cli.ts')
    const child = spawn(process.execPath, [cli, 'serve'], { cwd: directory, env: environment })
    try {
      const text = await new Promise<string>((done, fail) => {
        let all = ''
        for (const stream of [child.stdout, child.stderr]) {
          stream.setEncoding('utf8').on('data', (more: string) => {
            all += more
            if (all.includes('ready: send events to')) done(all)
          })
        }
        child.once('exit', (code) => fail(new Error(`ended with ${code}: ${all}`)))
      })
      expect(text).toContain('"Namespace":"Millrace"')
      const [, url = ''] = /ready: send events to (http\S+)/.exec(text) ?? []
      const body = JSON.stringify({ id: 1, data: 'Event 1' })
      const headers = { 'content-type': 'application/json' }
      expect((await fetch(url, { method: 'POST', headers, body })).status).toBe(401)
      const [, key] = (environment.API_KEYS ?? '').split(':')
      const authorized = { ...headers, authorization: `Bearer ${key}` }
      const answer = await fetch(url, { method: 'POST', headers: authorized, body })
      expect([answer.status, await answer.json()]).toEqual([202, { accepted: 1 }])
      expect(text).not.toContain(key)
    } finally {
      child.kill('SIGKILL')
      rmSync(directory, { recursive: true, force: true })
    }
  })

  test('no state holds the API key', async () => {
    const { SecretString: secret = 'none' } = await aws.call('secretsmanager', 'secretsmanager.GetSecretValue', {
      SecretId: 'millrace-dev/api-keys',
    })
    const [, key = ''] = String(secret).split(':')
    expect(key.length).toBe(40)
    for (const part of STACKS) {
      const { stdout: state } = await terraform(projects.dev ?? '', `dev-${part}`, 'state', 'pull')
      expect(state).toContain('"serial"')
      expect(state.includes(key), part).toBe(false)
    }
  })

  test('production refuses to be destroyed until its protection is taken away', async () => {
    const project = projects.prod ?? ''
    const { code } = await terraform(project, 'prod-foundation', 'plan', '-destroy', '-input=false')
    expect(code).toBe(1)
    edit(project, [['production: true', 'production: false']])
    await succeed(project, 'deploy', 'prod', ...CI)
  })

  test.each(['dev', 'prod'])('%s: destroyed, nothing is left', { concurrent: true }, async (name) => {
    const project = projects[name] ?? ''
    const output = await succeed(project, 'destroy', name, ...CI)
    for (const stack of STACKS.map((part) => `${name}-${part}`)) {
      const [, gone] = new RegExp(`^${stack}\\s+Destroy complete! Resources: (\\d+) destroyed`, 'm').exec(output) ?? []
      expect(Number(gone), stack).toBeGreaterThan(10)
      expect((await terraform(project, stack, 'state', 'list')).stdout.trim(), stack).toBe('')
      report.push(`${stack.padEnd(20)} ${gone} destroyed`)
    }
  })

  test('bootstrap moves its own state into the bucket it made, and can be taken down again', async () => {
    const project = projects.dev ?? ''
    edit(project, [["bootstrapState: 'local'", "bootstrapState: 'bucket'"]])
    await succeed(project, 'deploy', 'bootstrap', '--migrate-state', ...CI)
    expect(await planned(project, 'bootstrap')).toEqual([])
    edit(project, [["bootstrapState: 'bucket'", "bootstrapState: 'local'"]])
    await succeed(project, 'deploy', 'bootstrap', '--migrate-state', ...CI)
    const output = await succeed(project, 'destroy', 'bootstrap', ...CI)
    const [, gone] = /^bootstrap\s+Destroy complete! Resources: (\d+) destroyed/m.exec(output) ?? []
    expect(Number(gone)).toBeGreaterThan(20)
    report.push(`bootstrap            ${gone} destroyed`)
    // ECS remembers clusters that are gone, as inactive.
    const ecs = (action: string, body: object) => aws.call('ecs', `AmazonEC2ContainerServiceV20141113.${action}`, body)
    const { clusterArns } = await ecs('ListClusters', {})
    const { clusters } = await ecs('DescribeClusters', { clusters: clusterArns })
    const states = (clusters as unknown as { status: string }[]).map(({ status }) => status)
    expect(states).toEqual(['INACTIVE', 'INACTIVE'])
  })
})
