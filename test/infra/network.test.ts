/** Environments inside a VPC that is there, around brokers that are there, and with endpoints to AWS services. */
import { rmSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { loadConfig } from '../../app/config.ts'
import type { Statement } from '../../infra/policy.ts'
import { type Block, editedProject, resourcesOf, synth, temporaryProject } from '../support/synth.ts'

const subnets = (from: number, count: number) =>
  JSON.stringify(Array.from({ length: count }, (_, at) => `subnet-0000000${from + at}`))
const CLUSTER = 'arn:aws:kafka:eu-central-1:000000000000:cluster/shared/0a1b-2'
const network = (zones: number) =>
  `network: { vpcId: 'vpc-0123abcd', privateSubnetIds: ${subnets(1, zones)}, publicSubnetIds: ${subnets(5, zones)} },`
const SCRAM = `kafka: { brokers: ['a.example.net:9096', 'b.example.net:9096'], auth: 'scram-sha-512', at: { cidr: '10.9.0.0/16' } },
    variables: { KAFKA_USERNAME: 'millrace' },
    secrets: { KAFKA_PASSWORD: { secret: 'AmazonMSK_millrace', jsonKey: 'password' } },`
const IAM = `kafka: { brokers: ['c.example.net:9098'], auth: 'msk-iam', at: { securityGroupId: 'sg-0123abcd' }, clusterArn: '${CLUSTER}' },`
const project = editedProject([
  ["cidr: '10.10.0.0/20',", `cidr: '10.10.0.0/16', ${network(2)}`],
  ["cidr: '10.20.0.0/20',", `cidr: '10.20.0.0/16', ${network(3)}`],
  ["natGateways: 'one',", "natGateways: 'none',"],
  ["kafka: { brokerType: 'kafka.t3.small', storageGiB: 50, plannedMibps: 0.2 },", SCRAM],
  ["kafka: { brokerType: 'kafka.m7g.large', storageGiB: 500, plannedMibps: 2 },", IAM],
])
const { code, stderr, stacks } = synth(project)
rmSync(project, { recursive: true, force: true })
const of = (prefix: string, type: string) =>
  resourcesOf(
    [...stacks.values()].filter(({ name }) => name.startsWith(prefix)),
    type,
  )

test('they synthesise', () => {
  expect([code, stderr]).toEqual([0, ''])
})

describe('a VPC that is there', () => {
  test.each(['dev', 'staging'])('%s: nothing of the network is made or changed', (name) => {
    const types = [...stacks.values()]
      .filter((stack) => stack.name.startsWith(`${name}-`))
      .flatMap(({ resource }) => Object.keys(resource))
    for (const type of types) {
      expect(type).not.toMatch(
        /^aws_(vpc|subnet|route_table\w*|internet_gateway|nat_gateway|eip|flow_log|default_\w+|vpc_endpoint)$/,
      )
    }
    expect(types).toContain('aws_security_group')
  })

  test('tasks and EFS are in its private subnets, the load balancer in its public ones, every group in it', () => {
    for (const { at, block } of of('staging-', 'aws_ecs_service')) {
      expect((block.network_configuration as Block).subnets, at).toEqual(JSON.parse(subnets(1, 3)))
    }
    const mounts = of('dev-', 'aws_efs_mount_target').map(({ block }) => block.subnet_id)
    expect(mounts).toEqual(JSON.parse(subnets(1, 2)))
    const balancers = of('staging-', 'aws_lb').map(({ block }) => block.subnets)
    expect(balancers).toEqual([JSON.parse(subnets(5, 3))])
    for (const { at, block } of of('staging-', 'aws_security_group')) expect(block.vpc_id, at).toBe('vpc-0123abcd')
  })
})

describe('brokers that are there', () => {
  const appOf = (name: string, role: string) => {
    const [definition] = of(`${name}-service`, 'aws_ecs_task_definition').filter(({ at }) => at.includes(`.${role}_`))
    const containers = JSON.parse(String(definition?.block.container_definitions)) as Block[]
    const app = containers.find((container) => container.name === 'app') ?? {}
    return Object.fromEntries((app.environment as Block[]).map((one) => [one.name, String(one.value)]))
  }

  test('no cluster is made, and nothing watches one', () => {
    for (const type of ['aws_msk_cluster', 'aws_msk_configuration', 'aws_appautoscaling_policy']) {
      expect(of('staging-foundation', type), type).toEqual([])
      expect(of('prod-foundation', type), type).toEqual([])
    }
    const alarms = of('', 'aws_cloudwatch_metric_alarm').map(({ block }) => block.alarm_name)
    expect(alarms).toContain('millrace-prod-ingest-cpu')
    expect(alarms.filter((name) => /kafka/.test(String(name)))).toEqual([])
  })

  test('the app accepts what its tasks are told of them', () => {
    const given = { API_KEYS: 'default:0123456789abcdef', KAFKA_PASSWORD: 'secret' }
    expect(loadConfig({ ...appOf('staging', 'ingest'), ...given })).toMatchObject({
      KAFKA_BROKERS: ['a.example.net:9096', 'b.example.net:9096'],
      KAFKA_AUTH: 'scram-sha-512',
      KAFKA_USERNAME: 'millrace',
      KAFKA_CREATE_TOPICS: false,
    })
    expect(loadConfig({ ...appOf('prod', 'ingest'), ...given })).toMatchObject({
      KAFKA_AUTH: 'msk-iam',
      KAFKA_AWS_REGION: 'eu-central-1',
    })
  })

  test.each(['ingest', 'deliver'])('%s may reach them, on their port alone', (role) => {
    const egress = (name: string) =>
      of(`${name}-service`, 'aws_vpc_security_group_egress_rule')
        .filter(({ at }) => at.includes(`.${role}_`))
        .map(({ block }) => [block.from_port, block.to_port, block.cidr_ipv4 ?? block.referenced_security_group_id])
        .sort(([a], [b]) => Number(a) - Number(b))
    expect(egress('staging')).toEqual([
      [443, 443, '0.0.0.0/0'],
      [9096, 9096, '10.9.0.0/16'],
    ])
    expect(egress('prod')).toEqual([
      [443, 443, '0.0.0.0/0'],
      [9098, 9098, 'sg-0123abcd'],
    ])
  })

  test('with IAM: the topics and groups of that cluster; with a password, nothing', () => {
    const kafkaOf = (name: string, role: string) =>
      of(`${name}-service`, 'aws_iam_role_policy')
        .filter(({ at }) => at.includes(`.${role}_task-role`))
        .flatMap(({ block }) => JSON.parse(String(block.policy)).Statement as Statement[])
        .filter(({ Action }) => JSON.stringify(Action).includes('kafka-cluster:'))
        .map(({ Resource }) => Resource)
    expect(kafkaOf('prod', 'deliver')).toEqual([
      CLUSTER,
      `${CLUSTER.replace(':cluster/', ':topic/')}/*`,
      `${CLUSTER.replace(':cluster/', ':group/')}/*`,
    ])
    expect(kafkaOf('prod', 'ingest')).toHaveLength(2)
    expect(kafkaOf('staging', 'deliver')).toEqual([])
  })
})

test('services that an environment names are reached without NAT: in its private subnets, from its network alone', () => {
  const made = synth(temporaryProject([['interfaceEndpoints: [],', "interfaceEndpoints: ['ecr.api', 'logs'],"]])).stacks
  const foundation = [...made.values()].filter(({ name }) => name === 'prod-foundation')
  const endpoints = resourcesOf(foundation, 'aws_vpc_endpoint').filter(
    ({ block }) => block.vpc_endpoint_type === 'Interface',
  )
  expect(endpoints.map(({ block }) => block.service_name).sort()).toEqual(
    ['ecr.api', 'logs'].map((name) => `com.amazonaws.eu-central-1.${name}`),
  )
  for (const { at, block } of endpoints) {
    expect(block.private_dns_enabled, at).toBe(true)
    expect(block.subnet_ids, at).toHaveLength(3)
    for (const id of block.subnet_ids as string[]) expect(id, at).toContain('private-subnet')
    expect(block.security_group_ids, at).toEqual([expect.stringMatching(/endpoints/)])
  }
  const rules = resourcesOf(foundation, 'aws_vpc_security_group_ingress_rule').filter(({ at }) => /endpoints/.test(at))
  expect(rules.map(({ block }) => [block.cidr_ipv4, block.from_port, block.to_port])).toEqual([
    ['10.30.0.0/20', 443, 443],
  ])
})
