import { expect, test } from 'vitest'
import { emfLine } from '../../../app/observability/cloudwatch.ts'
import { environments } from '../../../infra/config.ts'
import { costOf } from '../../../infra/sizing/cost.ts'
import { HOURS_PER_MONTH, PRICES } from '../../../infra/sizing/prices.ts'
import { resourcesOf, synth } from '../../support/synth.ts'

const all = [...synth().stacks.values()]

test.each(environments)('$name: what is priced is what the stacks have', (environment) => {
  const own = all.filter(({ name }) => name.startsWith(`${environment.name}-`))
  const count = (type: string) => resourcesOf(own, type).length
  const line = (what: string) => costOf(environment).find((candidate) => candidate.what === what)
  // An alarm is paid for by metric. Each policy of target tracking makes two of its own, one where it never scales in.
  const metrics = resourcesOf(own, 'aws_cloudwatch_metric_alarm').map(({ block }) =>
    ((block.metric_query ?? [{ metric: {} }]) as { metric?: object }[]).filter(({ metric }) => metric !== undefined),
  )
  const policies = resourcesOf(own, 'aws_appautoscaling_policy').map(
    ({ block }) => block.target_tracking_scaling_policy_configuration as { disable_scale_in?: boolean },
  )
  const alarms = metrics.flat().length + policies.reduce((sum, policy) => sum + (policy.disable_scale_in ? 1 : 2), 0)
  expect(line('alarms')?.formula).toBe(String(alarms))
  // Container Insights: of the cluster, of each family of tasks, of each service. And what each role publishes itself.
  const published = JSON.parse(emfLine('x', 'x', { saturation: 0, loopUse: 0, sinks: [] }, 0))._aws.CloudWatchMetrics
  const ofRoles = count('aws_ecs_service') * published[0].Metrics.length
  const insights = 8 * count('aws_ecs_cluster') + 6 * count('aws_ecs_task_definition') + 11 * count('aws_ecs_service')
  expect(line('metrics')?.formula).toBe(String(insights + ofRoles))
  expect(line('NAT')?.formula).toBe(`${count('aws_nat_gateway')} gateways`)
  const [{ rule } = { rule: [] }] = resourcesOf(own, 'aws_wafv2_web_acl').map(({ block }) => block)
  expect(line('firewall')?.formula).toBe(`one list, ${(rule as unknown[]).length} rules`)
  expect(costOf(environment).filter(({ what }) => what.startsWith('tasks of'))).toHaveLength(count('aws_ecs_service'))
})

test.each(environments)('$name: no service but S3 has an endpoint, as none of them would pay', (environment) => {
  const [foundation] = all.filter(({ name }) => name === `${environment.name}-foundation`)
  const endpoints = resourcesOf(foundation ? [foundation] : [], 'aws_vpc_endpoint').map(({ block }) => block)
  expect(endpoints.map(({ vpc_endpoint_type: type }) => type)).toEqual(['Gateway'])
  expect(costOf(environment).map(({ what }) => what)).not.toContain('endpoints')
  const two = costOf({ ...environment, interfaceEndpoints: ['logs', 'ecr.api'] }).find(
    ({ what }) => what === 'endpoints',
  )
  expect(two?.formula).toBe(`2 services × ${environment.zones.length} zones`)
  expect(two?.usdPerMonth).toBeCloseTo(2 * environment.zones.length * PRICES.endpointHour * HOURS_PER_MONTH)
})

test.each(environments)('$name: at rest it stays well within its budget', (environment) => {
  const sum = costOf(environment).reduce((total, { usdPerMonth }) => total + usdPerMonth, 0)
  expect(sum).toBeGreaterThan(10)
  expect(sum).toBeLessThan(0.6 * environment.budgetUsdPerMonth)
})
