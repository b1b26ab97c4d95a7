/** What a security review asks, of every stack of every environment. Scanners look at the same output in the CI run. */
import { describe, expect, test } from 'vitest'
import { type Block, resourcesOf, synth } from '../support/synth.ts'

const { stacks } = synth()
const all = [...stacks.values()]
const prod = all.filter(({ name }) => name.startsWith('prod-'))

interface Statement {
  readonly Sid?: string
  readonly Effect: string
  readonly Principal?: unknown
  readonly Action: string | string[]
  readonly Resource?: string | string[]
  readonly Condition?: Record<string, Record<string, unknown>>
}
function statementsOf(text: unknown): Statement[] {
  return JSON.parse(String(text)).Statement
}
function listOf<T>(value: T | readonly T[] | undefined): readonly T[] {
  return value === undefined ? [] : Array.isArray(value) ? value : [value as T]
}

describe('permissions', () => {
  /** Actions for which AWS has no narrower resource, or policies that limit rather than grant. */
  const EVERYWHERE: Record<string, RegExp> = {
    'a token is for the whole registry': /^ecr:GetAuthorizationToken$/,
    'a list of workspaces is of the account': /^aps:ListWorkspaces$/,
  }
  const grants = all.flatMap((stack) =>
    resourcesOf([stack], 'aws_iam_role_policy').flatMap(({ at, block }) =>
      statementsOf(block.policy).map((statement) => ({ at, statement })),
    ),
  )

  test('no role may do everything, nor everything of a service', () => {
    expect(grants.length).toBeGreaterThan(40)
    for (const { at, statement } of grants) {
      if (statement.Effect === 'Deny') continue
      for (const action of listOf(statement.Action)) {
        expect(action, at).toMatch(/^[a-z0-9-]+:[A-Za-z]/)
      }
    }
  })

  test('every grant names its resources, but for actions that have none', () => {
    for (const { at, statement } of grants) {
      if (statement.Effect === 'Deny' || !listOf(statement.Resource).includes('*')) continue
      if (/github_plan-refresh/.test(at)) {
        // Reading the configuration of what has no name yet: nothing that changes, and no data.
        for (const action of listOf(statement.Action)) {
          expect(action, at).toMatch(/:(Describe|Get|List|View)/)
          expect(action, at).not.toMatch(/GetObject|GetSecretValue|GetParameter|GetItem/)
        }
        continue
      }
      for (const action of listOf(statement.Action)) {
        expect(
          Object.values(EVERYWHERE).some((known) => known.test(action)),
          `${at}: ${action} on *`,
        ).toBe(true)
      }
    }
  })

  test('who starts a task and what runs in it are two roles, both bounded', () => {
    for (const { at, block } of resourcesOf(all, 'aws_ecs_task_definition')) {
      expect(block.execution_role_arn, at).toBeTruthy()
      expect(block.task_role_arn, at).not.toBe(block.execution_role_arn)
    }
    for (const { at, block } of resourcesOf(all, 'aws_iam_role')) {
      if (at.startsWith('bootstrap')) continue
      expect(block.permissions_boundary, at).toMatch(/policy\/millrace-boundary$/)
      expect(block.name, at).toMatch(/^millrace-/)
    }
  })

  test('of S3, a task may only do what the archive needs, below its prefix', () => {
    const ofTasks = grants.filter(({ at }) => /_task-role_policy_/.test(at))
    const s3 = ofTasks.filter(({ statement }) => listOf(statement.Action).some((action) => action.startsWith('s3:')))
    for (const { at, statement } of s3) {
      const { Action, Resource } = statement
      expect(listOf(Resource), at).toHaveLength(1)
      if (Action === 's3:GetObject') expect(Resource, at).toMatch(/archive.*\/events\/_millrace\/\*$/)
      else
        expect([Action, Resource], at).toEqual([
          ['s3:PutObject', 's3:AbortMultipartUpload'],
          expect.stringMatching(/archive.*\/events\/\*$/),
        ])
    }
    expect(s3.length).toBe(3 * 2) // who delivers, in each environment
  })

  test('no role can do more than the boundary lets it', () => {
    const [boundary] = resourcesOf(all, 'aws_iam_policy')
    const limits = statementsOf(boundary?.block.policy).flatMap(({ Action }) => listOf(Action))
    for (const { at, statement } of grants) {
      if (at.startsWith('bootstrap')) continue
      for (const action of listOf(statement.Action)) expect(limits, at).toContain(action)
    }
  })

  test('only our repository, in the situation each role is for, becomes that role', () => {
    const roles = resourcesOf(all, 'aws_iam_role').filter(({ at }) => at.startsWith('bootstrap'))
    expect(roles.map(({ block }) => block.name).sort()).toEqual([
      ...['dev', 'prod', 'staging'].map((name) => `millrace-github-apply-${name}`),
      ...['millrace-github-plan', 'millrace-github-push'],
    ])
    for (const { at, block } of roles) {
      const [statement] = statementsOf(block.assume_role_policy)
      const condition = statement?.Condition?.StringEquals ?? {}
      expect(condition['token.actions.githubusercontent.com:aud'], at).toBe('sts.amazonaws.com')
      const subjects = listOf(condition['token.actions.githubusercontent.com:sub'])
      for (const subject of subjects) expect(subject, at).toMatch(/^repo:example\/millrace:[^*]+$/)
      const [, environment] = /apply-(\w+)$/.exec(String(block.name)) ?? []
      if (environment === undefined) continue
      for (const subject of subjects) expect(subject, at).toMatch(new RegExp(`:environment:${environment}$`))
    }
  })

  test('a service takes on a role for this account only', () => {
    for (const { at, block } of resourcesOf(all, 'aws_iam_role')) {
      if (at.startsWith('bootstrap')) continue
      for (const { Condition } of statementsOf(block.assume_role_policy)) {
        expect(Condition?.StringEquals?.['aws:SourceAccount'], at).toBeTruthy()
      }
    }
  })
})

describe('network', () => {
  test('every rule says what it is for', () => {
    for (const type of [
      'aws_vpc_security_group_ingress_rule',
      'aws_vpc_security_group_egress_rule',
      'aws_security_group',
    ]) {
      for (const { at, block } of resourcesOf(all, type)) expect(String(block.description ?? ''), at).toMatch(/\w{3}/)
    }
  })

  test('nothing is open to the world but the load balancer, and only with a domain', () => {
    const open = resourcesOf(all, 'aws_vpc_security_group_ingress_rule').filter(({ block }) =>
      [block.cidr_ipv4, block.cidr_ipv6].some((range) => range === '0.0.0.0/0' || range === '::/0'),
    )
    // The one with a domain, and TLS alone: a redirect from port 80 answers after the key was sent in clear.
    expect(open.map(({ at, block }) => [at.split(':')[0], block.from_port])).toEqual([['prod-service', 443]])
    for (const { at, block } of open) expect(block.security_group_id, at).toMatch(/edge_group/)
    const listeners = resourcesOf(all, 'aws_lb_listener').filter(({ at }) => at.startsWith('prod'))
    expect(listeners.map(({ block }) => [block.port, block.protocol])).toEqual([[443, 'HTTPS']])
  })

  test('the default security group of each network is empty, and traffic is logged', () => {
    const groups = resourcesOf(all, 'aws_default_security_group')
    expect(groups).toHaveLength(3)
    for (const { at, block } of groups) expect([block.ingress, block.egress], at).toEqual([undefined, undefined])
    for (const { at, block } of resourcesOf(all, 'aws_flow_log')) expect(block.traffic_type, at).toBe('ALL')
    expect(resourcesOf(all, 'aws_flow_log')).toHaveLength(3)
  })

  test('tasks have no public address', () => {
    for (const { at, block } of resourcesOf(all, 'aws_ecs_service')) {
      expect(block.network_configuration, at).toMatchObject({ assign_public_ip: false })
    }
    for (const { at, block } of resourcesOf(all, 'aws_subnet'))
      expect(block.map_public_ip_on_launch, at).toBeUndefined()
  })

  test('one NAT gateway a zone in prod, one in all in dev', () => {
    const count = (name: string) =>
      resourcesOf(
        all.filter((stack) => stack.name === name),
        'aws_nat_gateway',
      ).length
    expect([count('dev-foundation'), count('prod-foundation')]).toEqual([1, 3])
  })

  test('the load balancer refuses malformed requests, writes its log and is guarded', () => {
    for (const { at, block } of resourcesOf(all, 'aws_lb')) {
      expect(block, at).toMatchObject({ drop_invalid_header_fields: true, desync_mitigation_mode: 'strictest' })
      expect(block.access_logs, at).toMatchObject({ enabled: true })
    }
    expect(resourcesOf(all, 'aws_wafv2_web_acl_association')).toHaveLength(3)
    expect(resourcesOf(all, 'aws_wafv2_web_acl_logging_configuration')).toHaveLength(3)
  })
})

describe('containers', () => {
  // Scanners take this string for opaque and pass it: it is parsed here.
  const containers = resourcesOf(all, 'aws_ecs_task_definition').flatMap(({ at, block }) =>
    (JSON.parse(String(block.container_definitions)) as Block[]).map((container) => ({
      at: `${at} ${container.name}`,
      container,
    })),
  )
  const apps = containers.filter(({ container }) => container.name === 'app')

  test('each task is the app, and a collector that may fail', () => {
    expect(containers).toHaveLength(2 * apps.length)
    for (const { at, container } of containers) expect(container.essential, at).toBe(container.name === 'app')
  })

  test('hardened: read-only, unprivileged, no capabilities, an init process', () => {
    for (const { at, container } of containers) {
      expect(container, at).toMatchObject({
        readonlyRootFilesystem: true,
        privileged: false,
        linuxParameters: { initProcessEnabled: true, capabilities: { drop: ['ALL'], add: [] } },
      })
    }
    for (const { at, container } of apps) expect(container.user, at).toBe('1000:1000')
  })

  test('images are pinned: the app by digest, the collector by exact version', () => {
    for (const { at, container } of apps) expect(container.image, at).toMatch(/@sha256:[0-9a-f]{64}$/)
    for (const { at, container } of containers) expect(container.image, at).toMatch(/@sha256:|:v\d+\.\d+\.\d+$/)
  })

  test('each has a health check and logs that never block it', () => {
    for (const { at, container } of containers) {
      expect(container.healthCheck, at).toMatchObject({ command: expect.arrayContaining(['CMD']) })
      expect(container.logConfiguration, at).toMatchObject({ options: { mode: 'non-blocking' } })
    }
  })

  test('no secret is a plain variable', () => {
    for (const { at, container } of apps) {
      for (const { name, value } of container.environment as { name: string; value: string }[]) {
        expect(name, at).not.toMatch(/KEY|SECRET|PASSWORD|TOKEN/)
        expect(value, at).not.toMatch(/ephemeral|random_password/)
      }
    }
  })

  test('a failed deployment rolls itself back, and autoscaling owns the number of tasks', () => {
    for (const { at, block } of resourcesOf(all, 'aws_ecs_service')) {
      expect(block.deployment_circuit_breaker, at).toEqual({ enable: true, rollback: true })
      expect(block.lifecycle, at).toMatchObject({ ignore_changes: ['desired_count'] })
      if (block.load_balancer) expect(block.alarms, at).toMatchObject({ enable: true, rollback: true })
    }
  })

  test('two tasks never share the embedded log: the old one stops before the new one starts', () => {
    const [{ block } = { block: {} as Block }] = resourcesOf(
      all.filter(({ name }) => name === 'dev-service'),
      'aws_ecs_service',
    )
    expect([block.deployment_minimum_healthy_percent, block.deployment_maximum_percent]).toEqual([0, 100])
  })

  test('no shell in any task: ECS Exec needs a root file system that can be written', () => {
    const services = resourcesOf(all, 'aws_ecs_service')
    expect(services).toHaveLength(5)
    for (const { at, block } of services) expect(block.enable_execute_command ?? false, at).toBe(false)
    expect(JSON.stringify(all.map(({ json }) => json))).not.toContain('ssmmessages')
  })
})

describe('data', () => {
  test('keys rotate', () => {
    const keys = resourcesOf(all, 'aws_kms_key')
    expect(keys).toHaveLength(4)
    for (const { at, block } of keys) expect(block.enable_key_rotation, at).toBe(true)
  })

  test('buckets are private, versioned, encrypted, tidied, and reached over TLS only', () => {
    const buckets = resourcesOf(all, 'aws_s3_bucket')
    expect(buckets).toHaveLength(8)
    for (const part of [
      'aws_s3_bucket_public_access_block',
      'aws_s3_bucket_versioning',
      'aws_s3_bucket_server_side_encryption_configuration',
      'aws_s3_bucket_lifecycle_configuration',
      'aws_s3_bucket_ownership_controls',
    ]) {
      expect(resourcesOf(all, part), part).toHaveLength(buckets.length)
    }
    const policies = resourcesOf(all, 'aws_s3_bucket_policy')
    expect(policies).toHaveLength(buckets.length)
    for (const { at, block } of policies) {
      const [first] = statementsOf(block.policy)
      expect(first, at).toMatchObject({ Effect: 'Deny', Condition: { Bool: { 'aws:SecureTransport': 'false' } } })
    }
  })

  test('logs are encrypted and kept for a year', () => {
    const groups = resourcesOf(all, 'aws_cloudwatch_log_group')
    expect(groups.length).toBeGreaterThan(10)
    for (const { at, block } of groups) {
      expect(block.kms_key_id, at).toBeTruthy()
      expect(block.retention_in_days, at).toBe(365)
    }
  })

  test('Kafka: three brokers, two must have a record, TLS and IAM only, no topic by accident', () => {
    const clusters = resourcesOf(all, 'aws_msk_cluster')
    expect(clusters).toHaveLength(2)
    for (const { at, block } of clusters) {
      expect(block, at).toMatchObject({
        number_of_broker_nodes: 3,
        client_authentication: { sasl: { iam: true } },
        encryption_info: { encryption_in_transit: { client_broker: 'TLS', in_cluster: true } },
      })
    }
    for (const { at, block } of resourcesOf(all, 'aws_msk_configuration')) {
      const properties = String(block.server_properties).trim().split('\n')
      for (const wanted of [
        'auto.create.topics.enable=false',
        'default.replication.factor=3',
        'min.insync.replicas=2',
        'unclean.leader.election.enable=false',
      ]) {
        expect(properties, at).toContain(wanted)
      }
    }
  })

  test('what holds data in production cannot be destroyed by accident', () => {
    for (const type of ['aws_s3_bucket', 'aws_msk_cluster']) {
      const found = resourcesOf(prod, type)
      expect(found.length, type).toBeGreaterThan(0)
      for (const { at, block } of found) expect(block.lifecycle, at).toMatchObject({ prevent_destroy: true })
    }
    for (const { at, block } of resourcesOf(prod, 'aws_lb')) expect(block.enable_deletion_protection, at).toBe(true)
  })

  test('state: encrypted, versioned, locked by the bucket itself', () => {
    for (const { name, json } of all) {
      if (name === 'bootstrap') continue
      const { backend } = json.terraform as { backend: { s3: Block } }
      expect(backend.s3, name).toMatchObject({
        encrypt: true,
        use_lockfile: true,
        kms_key_id: expect.stringMatching(/alias/),
      })
    }
  })

  test('the API key is written by AWS and read by nobody on the way', () => {
    for (const { at, block } of resourcesOf(all, 'aws_secretsmanager_secret_version')) {
      expect(Object.keys(block), at).not.toContain('secret_string')
      expect(block.secret_string_wo, at).toContain('ephemeral.')
    }
    for (const { name, json } of all)
      expect(JSON.stringify(json.output ?? {}), name).not.toMatch(/random_password|secret_string/)
  })
})
