/**
 * From dev's neighbour to production as the workflows do it, behind the gate: each plan under the plan role, each apply under the
 * apply role of its environment, each call judged by the policies that are deployed. Then what no role may do: tried, and denied.
 */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { archivedEvent } from '../support/archive.ts'
import { type EmulatedAws, missing, startEmulatedAws } from '../support/emulated-aws.ts'
import { expectGateAgrees } from '../support/iam/agrees.ts'
import { Kafka, missing as missingKafka } from '../support/kafka.ts'
import { startTaskRole } from '../support/kafka-iam.ts'
import { type PipelineStep, runPipeline, sessionOf } from '../support/pipeline.ts'
import { edit, editedProject } from '../support/synth.ts'
import { send, startTask } from '../support/task.ts'

const ACCOUNT = '123456789012'
const REGION = 'eu-central-1'
const STACKS = ['foundation', 'monitoring', 'service']
const NAMES = ['staging', 'prod'] as const
type Name = (typeof NAMES)[number]
const reason = missing()

let aws: EmulatedAws
const projects = {} as Record<Name, string>
const report: string[] = []

async function plan(name: Name): Promise<PipelineStep & { readonly id: string }> {
  const step = await runPipeline(await sessionOf(aws, 'plan'), projects[name], 'plan', name)
  expect(step.code, step.output.slice(-4000)).toBe(0)
  return { ...step, id: step.outputs.plan ?? '' }
}

async function apply(name: Name, id: string): Promise<PipelineStep> {
  const session = await sessionOf(aws, `apply-${name}`, name)
  const step = await runPipeline(session, projects[name], 'apply', name, '--plan', id)
  expect(step.code, step.output.slice(-4000)).toBe(0)
  return step
}

/** Plans and applies until nothing is left. @returns how often. */
async function deploy(name: Name): Promise<number> {
  for (let round = 1; round <= 3; round++) {
    const { id, outputs } = await plan(name)
    if (outputs.changes === 'false') return round - 1
    if ((await apply(name, id)).outputs.again === 'false') return round
  }
  throw new Error(`${name} is not complete after three rounds`)
}

async function expectNoChanges(name: Name): Promise<void> {
  expect((await plan(name)).summary.match(/\| no changes \|/g)).toHaveLength(STACKS.length)
}

async function expectNoDrift(name: Name): Promise<void> {
  const { code, outputs, output } = await runPipeline(await sessionOf(aws, 'plan'), projects[name], 'drift', name)
  expect([code, outputs.drift], output.slice(-2000)).toEqual([0, 'false'])
}

/** Every stack of a new environment, until there is nothing to do. */
async function complete(name: Name, expectNothingToDo: (name: Name) => Promise<void>): Promise<void> {
  const rounds = await deploy(name)
  await expectNothingToDo(name)
  report.push(`${name.padEnd(32)} ${rounds} rounds, then nothing to do`)
  expectNothingRefused()
}

function expectNothingRefused(): void {
  expect(aws.gate.failures).toEqual([])
  expect(aws.gate.denials).toEqual([])
}

describe.skipIf(reason)(`staging and production behind the gate${reason ? ` (left out: ${reason})` : ''}`, () => {
  beforeAll(async () => {
    aws = await startEmulatedAws()
    const zone = await hostedZone('events.millrace.test')
    for (const name of NAMES) {
      projects[name] = editedProject([
        ['000000000000', ACCOUNT],
        [
          "name: 'events.example.com', hostedZoneId: 'ZEXAMPLE'",
          `name: 'events.millrace.test', hostedZoneId: '${zone}'`,
        ],
        ["'0'.repeat(64)", "'a'.repeat(64)"],
        ['interfaceEndpoints: [],', "interfaceEndpoints: ['logs'],"], // none by default: what makes them is judged here
        ['protectState: true', 'protectState: false'],
      ])
    }
    const { code, output } = await aws.run(
      projects.staging,
      ...(['npm', 'run', '--silent', 'deploy', '--', 'bootstrap'] as const),
      ...['--auto-approve', '--skip-provider-lock'],
    )
    expect(code, output.slice(-4000)).toBe(0)
  }, 300_000)
  afterAll(async () => {
    const roles = Map.groupBy(aws?.gate.judged ?? [], ({ role }) => role)
    for (const [role, judged] of roles) {
      const denied = judged.filter(({ decision }) => !decision.allowed).length
      report.push(`${role.padEnd(32)} ${judged.length} actions judged, ${denied} denied`)
    }
    console.error(report.join('\n'))
    await aws?.stop()
    for (const project of Object.values(projects)) rmSync(project, { recursive: true, force: true })
  })

  // Beside each other, as two teams would; of each environment, one step after the other.
  const beside = { concurrent: true }
  const afterThat = { concurrent: false }
  const noBrokers = missingKafka()

  describe('staging', beside, () => {
    test('planned, approved, applied, until nothing is left', afterThat, () => complete('staging', expectNoChanges))

    test('one changed value of each kind goes through, and back again', afterThat, async () => {
      const changes: [string, string][] = [
        ["'a'.repeat(64)", "'b'.repeat(64)"], // the image
        ['ingest: { cpu: 1024, memoryMiB: 2048, minTasks: 2', 'ingest: { cpu: 2048, memoryMiB: 4096, minTasks: 2'],
        ['spotShare: 0.5,', "spotShare: 0.5,\n    variables: { LOG_LEVEL: 'debug' },"],
        ["brokerType: 'kafka.t3.small'", "brokerType: 'kafka.m7g.large'"],
        ['alerts@example.com', 'operators@example.com'],
        ['requestsPerFiveMinutesPerAddress: 500_000', 'requestsPerFiveMinutesPerAddress: 400_000'],
        ['apiKeyVersion: 1', 'apiKeyVersion: 2'],
      ]
      edit(projects.staging, changes)
      const rounds = await deploy('staging')
      await expectNoChanges('staging')
      edit(
        projects.staging,
        changes.slice(0, -1).map(([before, after]) => [after, before] as const), // a key version only goes up
      )
      await deploy('staging')
      report.push(`staging, seven changed values    ${rounds} rounds there, then back`)
      expectNothingRefused()
    })
  })

  describe('prod', beside, () => {
    test('planned, approved, applied, until nothing is left, and nothing has drifted', afterThat, () =>
      complete('prod', expectNoDrift),
    )

    test.skipIf(noBrokers)(
      `its tasks take events in and archive them, with the rights of their roles${noBrokers ? ` (left out: ${noBrokers})` : ''}`,
      { ...afterThat, timeout: 300_000 },
      async ({ onTestFinished }) => {
        const cluster = await clusterArn('prod')
        const authorize = aws.gate.authorizeKafka(cluster, { topic: 'millrace.events', group: 'millrace.s3' })
        const kafka = await Kafka.start({ brokers: 3, secure: true, authorize })
        onTestFinished(() => kafka.stop())
        const moved = async (role: string) => {
          const credentials = await startTaskRole(await aws.gate.taskCredentials(role))
          onTestFinished(() => credentials.stop())
          return {
            // Where the brokers and the task's credentials are; whom to trust is in the image of a real task.
            KAFKA_BROKERS: kafka.connection('msk-iam').brokers.join(),
            NODE_EXTRA_CA_CERTS: join(kafka.directory, 'ca.pem'),
            S3_SINK_ENDPOINT: aws.gate.url,
            ...credentials.environment,
          }
        }
        const ingest = await startTask(aws, 'prod', 'ingest', await moved('millrace-prod-ingest-task'), {
          atEnd: onTestFinished,
        })
        const deliverAs = { ...(await moved('millrace-prod-deliver-task')), S3_SINK_ROLL_MS: '1000' }
        const deliver = await startTask(aws, 'prod', 'deliver', deliverAs, { atEnd: onTestFinished })
        const answer = await send(ingest.url, { id: 'from-the-task' }, ingest.key)
        expect([answer.status, await answer.json()]).toEqual([202, { accepted: 1 }])
        const bucket = `millrace-prod-archive-${ACCOUNT}-${REGION}`
        const archived = await archivedEvent({ endpoint: aws.gate.url, region: REGION, bucket }, deliver.output)
        expect(archived).toMatchObject({ encryption: 'aws:kms', event: { id: 'from-the-task' } })
        expect(archived.key).toMatch(/^events\/type=event\/dt=[\d-]+\/hh=\d\d\/s3\.[\w-]+-0-1\.ndjson\.gz$/)
        expect(kafka.signIns.refused).toEqual([])
        expect(kafka.signIns.count).toBeGreaterThan(0)
        expectNothingRefused()
      },
    )

    test('no destruction until its protection is taken away', afterThat, async () => {
      const apply = await sessionOf(aws, 'apply-prod', 'prod')
      const stack = '-chdir=cdktf.out/stacks/prod-foundation'
      const { code } = await apply.run(projects.prod, 'terraform', stack, 'plan', '-destroy', '-input=false')
      expect(code).toBe(1)
      edit(projects.prod, [['production: true', 'production: false']])
      await deploy('prod')
      expectNothingRefused()
    })
  })

  test('whoever is not who the role trusts does not become it', async () => {
    const trusts = (role: Parameters<typeof sessionOf>[1], subject: string) =>
      aws.session(`millrace-github-${role}`, subject).then(
        () => true,
        () => false,
      )
    const ours = 'repo:example/millrace'
    expect(await trusts('apply-prod', `${ours}:environment:prod`)).toBe(true)
    for (const [role, subject] of [
      ['apply-prod', `${ours}:environment:staging`],
      ['apply-prod', `${ours}:ref:refs/heads/main`],
      ['apply-prod', `${ours}:pull_request`],
      ['apply-staging', 'repo:example/millrace-fork:environment:staging'],
      ['plan', 'repo:someone/millrace:pull_request'],
      ['plan', `${ours}:ref:refs/heads/other`],
      ['push', `${ours}:ref:refs/heads/main`],
    ] as const) {
      expect(await trusts(role, subject), `${role} for ${subject}`).toBe(false)
    }
    await expect(aws.gate.taskCredentials('millrace-github-apply-prod')).rejects.toThrow('does not trust the tasks')
  })

  test('what each role must not do is denied', async () => {
    const before = aws.gate.denials.length
    const tried = [
      ...(await deniedToPlan()),
      ...(await deniedToApply()),
      ...(await deniedToPush()),
      ...(await deniedToTasks()),
    ]
    for (const { what, text } of tried) {
      expect(text, what).toMatch(/AccessDenied|UnauthorizedOperation/)
      expect(text, what).toMatch(/is not authorized to perform/)
    }
    expect(aws.gate.failures).toEqual([])
    expect(aws.gate.denials.length - before).toBe(tried.length)
    report.push(`${String(tried.length).padEnd(32)} calls that no role may make, each denied`)
  })

  test('the push role pushes an image, and looks whether it is there', async () => {
    const before = aws.gate.denials.length
    const push = await sessionOf(aws, 'push', 'release')
    const ecr = (action: string, body: object) =>
      push.request('ecr', { target: `AmazonEC2ContainerRegistry_V20150921.${action}`, body: { ...body } })
    const repository = { repositoryName: 'millrace' }
    expect((await ecr('GetAuthorizationToken', {})).status).toBe(200)
    for (const [action, body] of [
      ['DescribeImages', { imageIds: [{ imageTag: '0.1.0' }] }],
      ['BatchCheckLayerAvailability', { layerDigests: ['sha256:0'] }],
      ['InitiateLayerUpload', {}],
      ['PutImage', { imageManifest: '{}', imageTag: '0.1.0' }],
    ] as const) {
      // What moto knows of pushing is another matter: here it is who may.
      expect((await ecr(action, { ...repository, ...body })).text, action).not.toMatch(/not authorized/)
    }
    expect(aws.gate.denials.length).toBe(before)
  })

  test.each(NAMES)('%s: destroyed by its apply role, nothing is left', { concurrent: true }, async (name) => {
    const before = aws.gate.denials.length
    const session = await sessionOf(aws, `apply-${name}`, name)
    const { code, output } = await session.run(
      projects[name],
      ...(['npm', 'run', '--silent', 'destroy', '--', name, '--auto-approve', '--skip-provider-lock'] as const),
    )
    expect(code, output.slice(-4000)).toBe(0)
    for (const stack of STACKS.map((part) => `${name}-${part}`)) {
      const [, gone] = new RegExp(`^${stack}\\s+Destroy complete! Resources: (\\d+) destroyed`, 'm').exec(output) ?? []
      expect(Number(gone), stack).toBeGreaterThan(10)
      report.push(`${stack.padEnd(32)} ${gone} destroyed`)
    }
    expect(aws.gate.denials.length).toBe(before)
    expect(aws.gate.failures).toEqual([])
  })

  test('a published simulator of IAM judges all of it the same, and no operation is new', async () => {
    await expectGateAgrees(aws)
  })
})

/** A zone of Route 53, as a team has one. @returns its id. */
async function hostedZone(name: string): Promise<string> {
  const authorization = `AWS4-HMAC-SHA256 Credential=emulated/20260101/us-east-1/route53/aws4_request`
  const body =
    '<CreateHostedZoneRequest xmlns="https://route53.amazonaws.com/doc/2013-04-01/">' +
    `<Name>${name}</Name><CallerReference>test</CallerReference></CreateHostedZoneRequest>`
  const answer = await fetch(`${aws.gate.url}/2013-04-01/hostedzone`, {
    method: 'POST',
    headers: { authorization },
    body,
  })
  return /<Id>\/hostedzone\/(\w+)</.exec(await answer.text())?.[1] ?? ''
}

/** As the foundation tells it the other stacks. */
async function clusterArn(name: Name): Promise<string> {
  const stack = `-chdir=cdktf.out/stacks/${name}-foundation`
  const { stdout } = await aws.run(projects[name], 'terraform', stack, 'state', 'pull')
  const { resources } = JSON.parse(stdout) as {
    resources: { type: string; instances: { attributes: { arn: string } }[] }[]
  }
  return resources.find(({ type }) => type === 'aws_msk_cluster')?.instances[0]?.attributes.arn ?? ''
}

interface Tried {
  readonly what: string
  readonly text: string
}

type Request = Parameters<Awaited<ReturnType<typeof sessionOf>>['request']>[1]

async function tryAll(
  session: { request(service: string, request: Request): Promise<{ readonly text: string }> },
  who: string,
  calls: readonly (readonly [what: string, service: string, request: Request])[],
): Promise<Tried[]> {
  const tried: Tried[] = []
  for (const [what, service, request] of calls) {
    tried.push({ what: `${who}: ${what}`, text: (await session.request(service, request)).text })
  }
  return tried
}

const STATE = `/millrace-state-${ACCOUNT}-${REGION}`
const role = (name: string) => `arn:aws:iam::${ACCOUNT}:role/${name}`
const iam = (Action: string, parameters: Record<string, string>): Request => ({ body: { Action, ...parameters } })
const boundary = `arn:aws:iam::${ACCOUNT}:policy/millrace-boundary`
const trustOfTasks = JSON.stringify({ Version: '2012-10-17', Statement: [] })
const ecs = (action: string, body: Record<string, unknown>): Request => ({
  target: `AmazonEC2ContainerServiceV20141113.${action}`,
  body,
})
const secret = (name: string): Request => ({
  target: 'secretsmanager.GetSecretValue',
  body: { SecretId: `millrace-${name}/api-keys` },
})

async function deniedToPlan(): Promise<Tried[]> {
  return tryAll(await sessionOf(aws, 'plan'), 'plan', [
    ['write a state', 's3', { method: 'PUT', path: `${STATE}/prod-service.tfstate` }],
    ['delete a state', 's3', { method: 'DELETE', path: `${STATE}/prod-service.tfstate` }],
    ['read archived events', 's3', { method: 'GET', path: `/millrace-prod-archive-${ACCOUNT}-${REGION}/events/x` }],
    ['change a service', 'ecs', ecs('UpdateService', { cluster: 'millrace-prod', service: 'ingest', desiredCount: 0 })],
    ['make a role', 'iam', iam('CreateRole', { RoleName: 'millrace-prod-x', AssumeRolePolicyDocument: trustOfTasks })],
    [
      'become another role',
      'sts',
      iam('AssumeRole', { RoleArn: role('millrace-github-apply-prod'), RoleSessionName: 'x' }),
    ],
    ['delete a key', 'kms', { target: 'TrentService.ScheduleKeyDeletion', body: { KeyId: 'alias/millrace-state' } }],
    [
      'replace an image',
      'ecr',
      { target: 'AmazonEC2ContainerRegistry_V20150921.PutImage', body: { repositoryName: 'millrace' } },
    ],
  ])
}

async function deniedToApply(): Promise<Tried[]> {
  const own = 'millrace-github-apply-staging'
  const made = (RoleName: string, more: Record<string, string> = {}) =>
    iam('CreateRole', { RoleName, AssumeRolePolicyDocument: trustOfTasks, ...more })
  return tryAll(await sessionOf(aws, 'apply-staging', 'staging'), 'apply of staging', [
    ['widen itself', 'iam', iam('PutRolePolicy', { RoleName: own, PolicyName: 'x', PolicyDocument: '{}' })],
    ['let others become itself', 'iam', iam('UpdateAssumeRolePolicy', { RoleName: own, PolicyDocument: '{}' })],
    ['widen the plan role', 'iam', iam('AttachRolePolicy', { RoleName: 'millrace-github-plan', PolicyArn: boundary })],
    ['make a role without the boundary', 'iam', made('millrace-staging-x')],
    ['make a role of another name', 'iam', made('administrator', { PermissionsBoundary: boundary })],
    ['make a role of prod', 'iam', made('millrace-prod-x', { PermissionsBoundary: boundary })],
    ['make a user', 'iam', iam('CreateUser', { UserName: 'x' })],
    [
      'take the boundary from a role',
      'iam',
      iam('DeleteRolePermissionsBoundary', { RoleName: 'millrace-staging-ingest-task' }),
    ],
    ['widen the boundary', 'iam', iam('CreatePolicyVersion', { PolicyArn: boundary, PolicyDocument: '{}' })],
    [
      'become another role',
      'sts',
      iam('AssumeRole', { RoleArn: role('millrace-github-apply-prod'), RoleSessionName: 'x' }),
    ],
    [
      'hand prod’s role to a task',
      'ecs',
      ecs('RegisterTaskDefinition', { family: 'x', taskRoleArn: role('millrace-prod-ingest-task') }),
    ],
    [
      'change a service of prod',
      'ecs',
      ecs('UpdateService', { cluster: 'millrace-prod', service: 'ingest', desiredCount: 0 }),
    ],
    ['read the API key of prod', 'secretsmanager', secret('prod')],
    ['write the state of prod', 's3', { method: 'PUT', path: `${STATE}/prod-service.tfstate` }],
    ['write the state of bootstrap', 's3', { method: 'PUT', path: `${STATE}/bootstrap.tfstate` }],
    ['write a plan', 's3', { method: 'PUT', path: `${STATE}/plans/x/plan.json` }],
    ['read what prod archived', 's3', { method: 'GET', path: `/millrace-prod-archive-${ACCOUNT}-${REGION}/events/x` }],
  ])
}

async function deniedToPush(): Promise<Tried[]> {
  const ecr = (action: string, repositoryName: string): Request => ({
    target: `AmazonEC2ContainerRegistry_V20150921.${action}`,
    body: { repositoryName },
  })
  return tryAll(await sessionOf(aws, 'push', 'release'), 'push', [
    ['push into another repository', 'ecr', ecr('PutImage', 'other')],
    ['delete images', 'ecr', ecr('BatchDeleteImage', 'millrace')],
    ['read a state', 's3', { method: 'GET', path: `${STATE}/prod-service.tfstate` }],
    ['look at services', 'ecs', ecs('ListClusters', {})],
  ])
}

async function deniedToTasks(): Promise<Tried[]> {
  const as = async (name: string) => {
    const { accessKeyId } = await aws.gate.taskCredentials(name)
    return aws.as(accessKeyId)
  }
  const archive = `/millrace-prod-archive-${ACCOUNT}-${REGION}`
  return [
    ...(await tryAll(await as('millrace-prod-ingest-task'), 'ingest', [
      ['read its own secret: ECS does', 'secretsmanager', secret('prod')],
      ['write into the archive', 's3', { method: 'PUT', path: `${archive}/events/x` }],
    ])),
    ...(await tryAll(await as('millrace-prod-deliver-task'), 'deliver', [
      ['read events of the archive', 's3', { method: 'GET', path: `${archive}/events/type=event/x` }],
      ['delete from the archive', 's3', { method: 'DELETE', path: `${archive}/events/x` }],
      ['write elsewhere', 's3', { method: 'PUT', path: `${archive}/other/x` }],
      ['write into staging’s archive', 's3', { method: 'PUT', path: `${archive.replace('prod', 'staging')}/events/x` }],
    ])),
    ...(await tryAll(await as('millrace-staging-ingest-execution'), 'execution role of staging', [
      ['read the API key of prod', 'secretsmanager', secret('prod')],
    ])),
  ]
}
