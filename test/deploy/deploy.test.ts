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
import { gunzipSync } from 'node:zlib'
import { GetObjectCommand, ListObjectsV2Command, S3Client } from '@aws-sdk/client-s3'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { type EmulatedAws, missing, type Ran, startEmulatedAws } from '../support/emulated-aws.ts'
import { Kafka, missing as missingKafka } from '../support/kafka.ts'
import { startTaskRole } from '../support/kafka-iam.ts'
import { until } from '../support/service.ts'
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

interface Task {
  readonly url: string
  /** API key, if it has one. */
  readonly key: string
  output(): string
}

/** Runs the app with exactly what ECS would set for a service, as the emulated ECS says; only addresses are replaced. */
async function startTask(environmentName: string, service: string, moved: Record<string, string> = {}): Promise<Task> {
  const ecs = (action: string, body: object) => aws.call('ecs', `AmazonEC2ContainerServiceV20141113.${action}`, body)
  const { services } = await ecs('DescribeServices', { cluster: `millrace-${environmentName}`, services: [service] })
  const [found] = services as unknown as { taskDefinition: string }[]
  const { taskDefinition } = await ecs('DescribeTaskDefinition', { taskDefinition: found?.taskDefinition })
  const { containerDefinitions } = taskDefinition as unknown as { containerDefinitions: Block[] }
  const app = containerDefinitions.find(({ name }) => name === 'app') ?? {}
  const environment: Record<string, string> = {}
  for (const { name, value } of app.environment as { name: string; value: string }[]) environment[name] = value
  for (const { name, valueFrom } of (app.secrets ?? []) as { name: string; valueFrom: string }[]) {
    const secret = await aws.call('secretsmanager', 'secretsmanager.GetSecretValue', { SecretId: valueFrom })
    environment[name] = secret.SecretString ?? ''
  }
  // A test opens nothing to others, and takes any free port.
  Object.assign(environment, { HOST: '127.0.0.1', PORT: '0', ADMIN_PORT: '0' }, moved)

  const directory = mkdtempSync(join(tmpdir(), 'millrace-task-'))
  const cli = resolve(import.meta.dirname, '../../app/cli.ts')
  const child = spawn(process.execPath, [cli, 'serve'], { cwd: directory, env: environment })
  onTestFinished(() => {
    child.kill('SIGKILL')
    rmSync(directory, { recursive: true, force: true })
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (more) => (output += more))
  await until(() => child.exitCode !== null || output.includes('ready: '), 30_000, `ready: ${output}`)
  if (child.exitCode !== null) throw new Error(`ended with ${child.exitCode}: ${output}`)
  const [, url = ''] = /ready: send events to (http\S+)/.exec(output) ?? []
  const [, key = ''] = (environment.API_KEYS ?? '').split(':')
  return { url, key, output: () => output }
}

function send(url: string, event: object, key?: string): Promise<Response> {
  const headers = { 'content-type': 'application/json', ...(key !== undefined && { authorization: `Bearer ${key}` }) }
  return fetch(url, { method: 'POST', headers, body: JSON.stringify({ data: 'Event 1', ...event }) })
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

  test('the app becomes ready and takes an event with the environment of its task', async () => {
    const app = await startTask('dev', 'all')
    expect(app.output()).toContain('"Namespace":"Millrace"')
    expect((await send(app.url, { id: 1 })).status).toBe(401)
    const answer = await send(app.url, { id: 1 }, app.key)
    expect([answer.status, await answer.json()]).toEqual([202, { accepted: 1 }])
    expect(app.output()).not.toContain(app.key)
  })

  const noBrokers = missingKafka()
  test.skipIf(noBrokers)(
    `ingest and deliver start around brokers with the environment of their tasks${noBrokers ? ` (left out: ${noBrokers})` : ''}`,
    async () => {
      const kafka = await Kafka.start({ brokers: 3, secure: true })
      const role = await startTaskRole()
      onTestFinished(async () => {
        role.stop()
        await kafka.stop()
      })
      // Where the brokers and the task's credentials are; whom to trust is in the image of a real task.
      const moved = {
        KAFKA_BROKERS: kafka.connection('msk-iam').brokers.join(),
        NODE_EXTRA_CA_CERTS: join(kafka.directory, 'ca.pem'),
        ...role.environment,
      }
      const store = String(aws.environment.AWS_ENDPOINT_URL)
      const archive = { S3_SINK_ENDPOINT: store, S3_SINK_ROLL_MS: '1000' }
      const ingest = await startTask('prod', 'ingest', moved)
      const deliver = await startTask('prod', 'deliver', { ...moved, ...archive })
      const answer = await send(ingest.url, { id: 'from-the-task' }, ingest.key)
      expect([answer.status, await answer.json()]).toEqual([202, { accepted: 1 }])
      const credentials = { accessKeyId: 'emulated', secretAccessKey: 'emulated' }
      const s3 = new S3Client({ endpoint: store, region: 'eu-central-1', forcePathStyle: true, credentials })
      const bucket = { Bucket: `millrace-prod-archive-${ACCOUNT}-eu-central-1`, Prefix: 'events/type=' }
      let key: string | undefined
      const arrived = async () => {
        key = (await s3.send(new ListObjectsV2Command(bucket))).Contents?.[0]?.Key
        return key !== undefined
      }
      await until(arrived, 30_000, `the event in the archive: ${deliver.output()}`)
      expect(key).toMatch(/^events\/type=event\/dt=[\d-]+\/hh=\d\d\/s3\.[\w-]+-0-1\.ndjson\.gz$/)
      const object = await s3.send(new GetObjectCommand({ Bucket: bucket.Bucket, Key: key }))
      expect(object.ServerSideEncryption).toBe('aws:kms')
      const bytes = await object.Body?.transformToByteArray()
      expect(JSON.parse(String(gunzipSync(bytes ?? Buffer.of())))).toMatchObject({ id: 'from-the-task' })
      expect(kafka.signIns.refused).toEqual([])
      expect(kafka.signIns.count).toBeGreaterThan(0)
    },
    120_000,
  )

  test('one changed value is all that the next plan shows', { concurrent: true }, async () => {
    const project = projects.dev ?? ''
    edit(project, [['budgetUsdPerMonth: 150', 'budgetUsdPerMonth: 175']])
    const output = await succeed(project, 'plan', 'dev', '--skip-provider-lock')
    expect(output).toMatch(/dev-monitoring\s+Plan: 0 to add, 1 to change, 0 to destroy/)
    const changes = []
    for (const part of STACKS) changes.push(...(await planned(project, `dev-${part}`)))
    expect(changes).toEqual(['update aws_budgets_budget.budget'])
  })

  test('a release whose tasks never start is rolled back, and applying it says so and fails', async () => {
    const project = projects.dev ?? ''
    const release = async (from: string, to: string) => {
      edit(project, [[`'${from}'.repeat(64)`, `'${to}'.repeat(64)`]])
      await succeed(project, 'synth')
      return terraform(project, 'dev-service', 'apply', '-auto-approve', '-input=false', '-no-color')
    }
    const { code, output } = await release('a', 'f')
    expect([code, output]).toEqual([1, expect.stringMatching(/all was rolled back: it runs what it ran before/)])
    expect((await release('f', 'a')).code).toBe(0)
  })

  test('production refuses to be destroyed until its protection is taken away', { concurrent: true }, async () => {
    const project = projects.prod ?? ''
    const { code } = await terraform(project, 'prod-foundation', 'plan', '-destroy', '-input=false')
    expect(code).toBe(1)
    edit(project, [['production: true', 'production: false']])
    await succeed(project, 'deploy', 'prod', ...CI)
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
