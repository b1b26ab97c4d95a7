/** What an environment says of its ways in: TLS from the load balancer to the tasks, and secrets of webhooks. */
import { rmSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { loadConfig } from '../../app/config.ts'
import type { Statement } from '../../infra/policy.ts'
import { type Block, editedProject, resourcesOf, synth } from '../support/synth.ts'

const KEY = 'arn:aws:kms:eu-central-1:000000000000:key/0a1b2c3d'
const SETTINGS = `
    tlsToTasks: true,
    hookSecrets: {
      GITHUB_HOOK_SECRET: { secret: 'shop/hooks', jsonKey: 'github', kmsKeyArn: '${KEY}' },
      CRM_SINK_HOOK: { parameter: '/shop/crm' },
    },`
const project = editedProject([
  ["cidr: '10.20.0.0/20',", `cidr: '10.20.0.0/20',${SETTINGS}`],
  ["cidr: '10.10.0.0/20',", `cidr: '10.10.0.0/20',${SETTINGS}`],
])
const { code, stderr, stacks } = synth(project)
rmSync(project, { recursive: true, force: true })
const of = (environment: string, type: string) => {
  const stack = stacks.get(`${environment}-service`)
  return stack === undefined ? [] : resourcesOf([stack], type)
}
const ofRole = (environment: string, type: string, role: string) =>
  of(environment, type).find(({ at }) => at.includes(`.${role}_`))?.block

interface App {
  readonly environment: Record<string, string>
  readonly secrets: Record<string, string>
  readonly healthCheck: string
}

function appOf(environment: string, role: string): App {
  const text = String(ofRole(environment, 'aws_ecs_task_definition', role)?.container_definitions)
  const app = (JSON.parse(text) as Block[]).find(({ name }) => name === 'app') ?? {}
  const record = (list: unknown, value: string) =>
    Object.fromEntries((list as Block[]).map((one) => [one.name, String(one[value])]))
  return {
    environment: record(app.environment, 'value'),
    secrets: record(app.secrets, 'valueFrom'),
    healthCheck: JSON.stringify(app.healthCheck),
  }
}

function statementsOf(environment: string, role: string, kind: 'execution' | 'task'): readonly Statement[] {
  return JSON.parse(String(ofRole(environment, 'aws_iam_role_policy', `${role}_${kind}-role`)?.policy)).Statement
}

test('it synthesises', () => {
  expect([code, stderr]).toEqual([0, ''])
})

describe('tlsToTasks', () => {
  test.each([
    ['dev', 'HTTPS'],
    ['staging', 'HTTPS'],
    ['prod', 'HTTP'],
  ])('%s: the load balancer sends and checks health with %s, on the port of the tasks', (environment, protocol) => {
    const groups = of(environment, 'aws_lb_target_group')
    expect(groups).toHaveLength(1)
    expect(groups[0]?.block).toMatchObject({
      ...{ protocol, port: 3000 },
      health_check: { protocol, path: '/health/ready', matcher: '200' },
    })
  })

  test.each([
    ['dev', 'all', 'true'],
    ['staging', 'ingest', 'true'],
    ['staging', 'deliver', undefined],
    ['prod', 'ingest', undefined],
  ])('%s: a task of %s makes its certificate: %s', (environment, role, made) => {
    expect(appOf(environment, role).environment.TLS_SELF_SIGNED).toBe(made)
  })

  test('the tasks start with it, and ECS asks for their health on the admin listener, without TLS', () => {
    const { environment, healthCheck } = appOf('staging', 'ingest')
    const values = { KAFKA_BROKERS: 'b-1:9098', API_KEYS: 'me:a-key-of-16-letters' }
    expect(loadConfig({ ...environment, ...values }).TLS_SELF_SIGNED).toBe(true)
    expect(healthCheck).toContain('http://127.0.0.1:')
    expect(healthCheck).toContain('ADMIN_PORT')
  })

  test('the security groups let the same port through, and no other', () => {
    const rules = (environment: string) =>
      ['aws_vpc_security_group_ingress_rule', 'aws_vpc_security_group_egress_rule'].flatMap((type) =>
        of(environment, type)
          .filter(({ block }) => /load balancer|To the tasks/.test(String(block.description)))
          .map(({ block }) => [block.description, block.from_port, block.to_port, block.ip_protocol]),
      )
    const expected = [
      ['Events from the load balancer', 3000, 3000, 'tcp'],
      ['To the tasks', 3000, 3000, 'tcp'],
    ]
    expect([rules('staging'), rules('prod')]).toEqual([expected, expected])
  })
})

describe('hookSecrets', () => {
  test.each([
    ['dev', 'all'],
    ['staging', 'ingest'],
  ])('%s: tasks of %s get them, whatever their names are', (environment, role) => {
    const { secrets, environment: variables } = appOf(environment, role)
    expect(secrets.CRM_SINK_HOOK).toBe('arn:aws:ssm:eu-central-1:000000000000:parameter/shop/crm')
    expect(secrets.GITHUB_HOOK_SECRET).toMatch(/^\$\{data\.aws_secretsmanager_secret\.[\w-]+\.arn\}:github::$/)
    expect(Object.keys(variables)).not.toContain('GITHUB_HOOK_SECRET')
  })

  test('tasks that deliver get none; only the role that starts the others may read them, with their key', () => {
    expect(Object.keys(appOf('staging', 'deliver').secrets)).toEqual([])
    const read = (role: string, kind: 'execution' | 'task') => JSON.stringify(statementsOf('staging', role, kind))
    const starts = read('ingest', 'execution')
    for (const what of ['parameter/shop/crm', 'data.aws_secretsmanager_secret', KEY]) expect(starts).toContain(what)
    for (const other of [read('ingest', 'task'), read('deliver', 'execution'), read('deliver', 'task')]) {
      expect(other).not.toMatch(/shop\/crm|data\.aws_secretsmanager_secret|key\/0a1b2c3d/)
    }
  })
})
