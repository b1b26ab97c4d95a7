import { pino } from 'pino'
import { afterAll, expect, test } from 'vitest'
import { loadConfig } from '../../app/config.ts'
import { Credentials } from '../../app/http/credentials.ts'
import { createServer } from '../../app/http/server.ts'
import { CLOUDWATCH } from '../../app/observability/cloudwatch.ts'
import { TIMING } from '../../infra/timing.ts'
import { type Block, resourcesOf, synth } from '../support/synth.ts'

const all = [...synth().stacks.values()]
const servers: { close(): Promise<unknown> }[] = []
afterAll(async () => {
  for (const server of servers) await server.close()
})

function appsOf(name: string): { environment: { name: string; value: string }[]; stopTimeout: number }[] {
  return resourcesOf(
    all.filter((stack) => stack.name === name),
    'aws_ecs_task_definition',
  ).map(({ block }) =>
    (JSON.parse(String(block.container_definitions)) as Block[]).find(({ name }) => name === 'app'),
  ) as never
}

test('an idle connection is closed by the load balancer first, then by the app, then headers time out', async () => {
  const config = loadConfig({})
  const unused = undefined as never
  const server = await createServer({
    config,
    logger: pino({ level: 'silent' }),
    sender: unused,
    credentials: new Credentials({ keys: new Map(), tls: undefined, hooks: [] }),
    keyed: false,
    deduplicates: false,
    filesOfSinks: 0,
    counts: unused,
    version: '0',
    notReady: () => undefined,
    isDraining: () => false,
  })
  servers.push(server)
  const idle = new Set(resourcesOf(all, 'aws_lb').map(({ block }) => block.idle_timeout))
  expect([...idle]).toEqual([TIMING.balancerIdleSeconds])
  const { keepAliveTimeout, headersTimeout } = server.server
  expect(TIMING.balancerIdleSeconds * 1000).toBeLessThan(keepAliveTimeout)
  expect(keepAliveTimeout).toBeLessThan(headersTimeout)
})

test.each(['dev-service', 'staging-service', 'prod-service'])('%s: the app has stopped before it is killed', (name) => {
  const apps = appsOf(name)
  expect(apps.length).toBeGreaterThan(0)
  for (const { environment, stopTimeout } of apps) {
    const value = (wanted: string) => Number(environment.find(({ name }) => name === wanted)?.value)
    const neededMs = value('SHUTDOWN_GRACE_MS') + value('SHUTDOWN_DRAIN_MS')
    expect(neededMs / 1000).toBeLessThan(stopTimeout)
    expect(stopTimeout).toBeLessThanOrEqual(120)
    // The load balancer has seen that the task is not ready before the task stops answering.
    expect(value('SHUTDOWN_GRACE_MS') / 1000).toBeGreaterThan(TIMING.healthCheckSeconds * TIMING.unhealthyChecks)
  }
})

test.each(['dev', 'staging', 'prod'])('%s: the app accepts the environment of each task', (name) => {
  const archive = `millrace-${name}-archive-000000000000-eu-central-1`
  expect(resourcesOf(all, 'aws_s3_bucket').map(({ block }) => block.bucket)).toContain(archive)
  for (const app of appsOf(`${name}-service`)) {
    // What Terraform reads from the foundation, as AWS would answer.
    const known = app.environment.map(({ name: variable, value }): [string, string] => {
      if (!value.startsWith('${')) return [variable, value]
      return [variable, value.includes('archive') ? archive : 'broker-1.example.com:9098']
    })
    const config = loadConfig({ ...Object.fromEntries(known), API_KEYS: 'default:0123456789abcdef' })
    expect(config).toMatchObject({ ENVIRONMENT: name, ADMIN_HOST: '127.0.0.1' })
    if (config.ROLE !== 'ingest') expect(config).toMatchObject({ SINKS: ['s3'], S3_SINK_BUCKET: archive })
    if (config.ROLE !== 'deliver') expect(config.HOST).toBe('0.0.0.0')
  }
})

test('scaling follows metrics that the app publishes, with the dimensions it publishes them with', () => {
  const followed = resourcesOf(all, 'aws_appautoscaling_policy').flatMap(({ at, block }) => {
    const { customized_metric_specification: metric } = block.target_tracking_scaling_policy_configuration as {
      customized_metric_specification?: { namespace: string; metric_name: string; dimensions: { name: string }[] }
    }
    return metric?.namespace ? [{ at, metric }] : []
  })
  expect(followed).toHaveLength(6)
  for (const { at, metric } of followed) {
    expect(metric.namespace, at).toBe(CLOUDWATCH.namespace)
    expect([CLOUDWATCH.loopUse, CLOUDWATCH.workingLag], at).toContain(metric.metric_name)
    expect(
      metric.dimensions.map(({ name }) => name),
      at,
    ).toEqual([...CLOUDWATCH.dimensions])
  }
})
