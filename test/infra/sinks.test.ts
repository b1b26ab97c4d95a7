/** An environment with sinks, variables and secrets of its own: what its tasks get, may read, and may reach. */
import { rmSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { loadConfig } from '../../app/config.ts'
import type { Environment } from '../../infra/environment.ts'
import type { Statement } from '../../infra/policy.ts'
import { STACK_VARIABLES } from '../../infra/settable.ts'
import { type Block, editedProject, resourcesOf, synth } from '../support/synth.ts'

const KEY = 'arn:aws:kms:eu-central-1:000000000000:key/0a1b2c3d'
const BUCKET_KEY = 'arn:aws:kms:eu-west-1:000000000000:key/4e5f6a7b'
const SETTINGS = `
    variables: {
      CHANNEL_CAPACITY_EVENTS: '5000',
      HTTP_SINK_URL: 'https://hooks.example.net:8443/events',
      POSTGRES_SINK_URL: 'postgres://millrace@db.example.net:6432/events',
    },
    secrets: {
      POSTGRES_SINK_PASSWORD: { secret: 'shop/database', jsonKey: 'password', kmsKeyArn: '${KEY}' },
      HTTP_SINK_SECRET: { parameter: '/shop/hook' },
    },
    sinks: {
      s3: { bucket: 'shop-events', region: 'eu-west-1', kmsKeyArn: '${BUCKET_KEY}' },
      postgres: { securityGroupId: 'sg-0123456789abcdef0', port: 6432 },
      http: { cidr: '192.0.2.0/24', port: 8443 },
    },`
const project = editedProject([
  ["cidr: '10.20.0.0/20',", `cidr: '10.20.0.0/20',${SETTINGS}`],
  ["cidr: '10.10.0.0/20',", "cidr: '10.10.0.0/20', sinks: { routes: true, http: 'https' },"],
])
const { code, stderr, stacks } = synth(project)
rmSync(project, { recursive: true, force: true })
const service = [...stacks.values()].filter(({ name }) => name === 'staging-service')
const ofRole = (type: string, role: string) => resourcesOf(service, type).filter(({ at }) => at.includes(`.${role}_`))

function appOf(role: string): { environment: Record<string, string>; secrets: Record<string, string> } {
  const [definition] = ofRole('aws_ecs_task_definition', role)
  const containers = JSON.parse(String(definition?.block.container_definitions)) as Block[]
  const app = containers.find(({ name }) => name === 'app') ?? {}
  const record = (list: unknown, value: string) =>
    Object.fromEntries((list as Block[]).map((one) => [one.name, String(one[value])]))
  return { environment: record(app.environment, 'value'), secrets: record(app.secrets, 'valueFrom') }
}

function statementsOf(role: string, kind: 'execution' | 'task'): readonly Statement[] {
  const [found] = ofRole('aws_iam_role_policy', `${role}_${kind}-role`)
  return JSON.parse(String(found?.block.policy)).Statement
}

test('it synthesises', () => {
  expect([code, stderr]).toEqual([0, ''])
})

describe('variables', () => {
  test('a misspelt name, or one that the stacks set, does not compile', () => {
    const variables: NonNullable<Environment['variables']> = { CHANNEL_CAPACITY_EVENTS: '5000' }
    // @ts-expect-error: it is CHANNEL_CAPACITY_EVENTS
    const misspelt: NonNullable<Environment['variables']> = { CHANEL_CAPACITY_EVENTS: '5000' }
    // @ts-expect-error: the stacks set it
    const ours: NonNullable<Environment['variables']> = { ROLE: 'all' }
    expect([variables, misspelt, ours].flatMap((each) => Object.keys(each))).toHaveLength(3)
  })

  test('those of sinks are for tasks that deliver, all others for every task', () => {
    const [ingest, deliver] = [appOf('ingest'), appOf('deliver')]
    expect(ingest.environment).toMatchObject({ CHANNEL_CAPACITY_EVENTS: '5000' })
    expect(Object.keys({ ...ingest.environment, ...ingest.secrets }).filter((name) => /SINK/.test(name))).toEqual([])
    expect(deliver.environment).toMatchObject({ CHANNEL_CAPACITY_EVENTS: '5000', SINKS: 's3,postgres,http' })
  })

  test('what the stacks set cannot be set twice', () => {
    const settings =
      /^(CHANNEL_CAPACITY_EVENTS|HTTP_SINK_URL|POSTGRES_SINK_URL|POSTGRES_SINK_PASSWORD|HTTP_SINK_SECRET)$/
    for (const role of ['ingest', 'deliver']) {
      const { environment, secrets } = appOf(role)
      const names = Object.keys({ ...environment, ...secrets }).filter((name) => !settings.test(name))
      expect(names.length).toBeGreaterThan(8)
      expect(STACK_VARIABLES).toEqual(expect.arrayContaining(names))
    }
  })

  test('the app accepts them', () => {
    const { environment, secrets } = appOf('deliver')
    const values: Record<string, string> = { POSTGRES_SINK_PASSWORD: 'secret', HTTP_SINK_SECRET: 'whsec_c2VjcmV0' }
    expect(Object.keys(secrets).sort()).toEqual(Object.keys(values).sort())
    expect(loadConfig({ ...environment, ...values, KAFKA_BROKERS: 'b-1:9098' })).toMatchObject({
      SINKS: ['s3', 'postgres', 'http'],
      S3_SINK_BUCKET: 'shop-events',
      S3_SINK_REGION: 'eu-west-1',
      S3_SINK_KMS_KEY_ID: BUCKET_KEY,
      HTTP_SINK_URL: 'https://hooks.example.net:8443/events',
    })
  })
})

describe('secrets', () => {
  test('are named in the task definition, with the key of a JSON object', () => {
    const { secrets } = appOf('deliver')
    expect(secrets.HTTP_SINK_SECRET).toBe('arn:aws:ssm:eu-central-1:000000000000:parameter/shop/hook')
    expect(secrets.POSTGRES_SINK_PASSWORD).toMatch(/^\$\{data\.aws_secretsmanager_secret\.\w[\w-]*\.arn\}:password::$/)
    const data = Object.values(
      ((service[0]?.json.data ?? {}) as Record<string, Record<string, Block>>).aws_secretsmanager_secret ?? {},
    )
    expect(data.map(({ name }) => name)).toEqual(['shop/database'])
  })

  test('may be read by the execution role of the tasks that get them, with their key, and by nobody else', () => {
    const read = (role: string, kind: 'execution' | 'task') =>
      statementsOf(role, kind).filter(({ Action }) => /secretsmanager|ssm|kms:Decrypt/.test(JSON.stringify(Action)))
    const deliver = JSON.stringify(read('deliver', 'execution'))
    expect(deliver).toContain('parameter/shop/hook')
    expect(deliver).toContain('data.aws_secretsmanager_secret')
    expect(read('deliver', 'execution')).toContainEqual({
      Effect: 'Allow',
      Action: 'kms:Decrypt',
      Resource: KEY,
      Condition: {
        StringEquals: {
          'kms:ViaService': ['secretsmanager.eu-central-1.amazonaws.com', 'ssm.eu-central-1.amazonaws.com'],
        },
      },
    })
    for (const [role, kind] of [
      ['ingest', 'execution'],
      ['ingest', 'task'],
      ['deliver', 'task'],
    ] as const) {
      expect(JSON.stringify(statementsOf(role, kind)), `${role} ${kind}`).not.toMatch(/shop\/hook|data\.aws_secrets/)
      expect(JSON.stringify(statementsOf(role, kind)), `${role} ${kind}`).not.toContain(KEY)
    }
  })
})

describe('what tasks may reach', () => {
  const egressOf = (role: string) =>
    ofRole('aws_vpc_security_group_egress_rule', role).map(({ block }) => [
      block.from_port,
      block.to_port,
      block.cidr_ipv4 ?? block.referenced_security_group_id,
    ])

  test('deliver: HTTPS, Kafka, the database and the host of the hook', () => {
    expect(egressOf('deliver')).toEqual(
      expect.arrayContaining([
        [443, 443, '0.0.0.0/0'],
        [6432, 6432, 'sg-0123456789abcdef0'],
        [8443, 8443, '192.0.2.0/24'],
      ]),
    )
    expect(egressOf('deliver')).toHaveLength(4)
  })

  test('ingest: HTTPS and Kafka', () => {
    expect(
      egressOf('ingest')
        .map(([port]) => port)
        .sort(),
    ).toEqual([443, 9098])
  })

  test('of S3, the bucket that is named and its key, and not the archive', () => {
    const statements = statementsOf('deliver', 'task')
    expect(statements).toContainEqual(
      expect.objectContaining({ Sid: 'Archive', Resource: 'arn:aws:s3:::shop-events/events/*' }),
    )
    expect(statements).toContainEqual(expect.objectContaining({ Sid: 'ArchiveKey', Resource: BUCKET_KEY }))
    expect(JSON.stringify(statements)).not.toContain('archive')
  })
})

test('with routes in the image SINKS is not set: events would go to each of them, too', () => {
  const found = resourcesOf(stacks.values(), 'aws_ecs_task_definition')
  const [dev] = found.filter(({ at }) => at.startsWith('dev-'))
  expect(String(dev?.block.container_definitions)).toContain('"LOG_ENGINE"')
  expect(String(dev?.block.container_definitions)).not.toMatch(/"SINKS"|S3_SINK/)
})
