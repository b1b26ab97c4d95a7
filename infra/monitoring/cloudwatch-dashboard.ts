/** The dashboard in CloudWatch: what AWS itself measures. What Millrace measures is in Grafana. */
import { CLOUDWATCH } from '../../app/observability/cloudwatch.ts'
import type { Environment } from '../environment.ts'
import { prefix, servicesOf } from '../names.ts'

type Metric = readonly (string | Readonly<Record<string, unknown>>)[]

export function dashboard(environment: Environment, region: string): string {
  const cluster = prefix(environment)
  const roles = servicesOf(environment).map(({ role }) => role)
  const perRole = (namespace: string, metric: string): Metric[] =>
    roles.map((role) => [namespace, metric, 'ClusterName', cluster, 'ServiceName', role])
  const published = (metric: string): Metric[] =>
    roles.map((role) => [CLOUDWATCH.namespace, metric, 'Environment', environment.name, 'Role', role])
  // The load balancer's name ends in characters that nobody knows before it exists.
  const balancer = (metric: string, statistic: string): Metric[] => [
    [
      {
        expression: `SEARCH('{AWS/ApplicationELB,LoadBalancer} MetricName="${metric}" "app/${cluster}/"', '${statistic}', 60)`,
        label: metric,
        id: 'e1',
      },
    ],
  ]
  const plots: readonly { title: string; metrics: readonly Metric[] }[] = [
    { title: 'Requests a minute', metrics: balancer('RequestCount', 'Sum') },
    { title: 'Response time, p99 (seconds)', metrics: balancer('TargetResponseTime', 'p99') },
    { title: 'Answers 5xx a minute', metrics: balancer('HTTPCode_Target_5XX_Count', 'Sum') },
    { title: 'Saturation (0–1)', metrics: published(CLOUDWATCH.saturation) },
    { title: 'Delivery lag (events)', metrics: published(CLOUDWATCH.lag) },
    { title: 'Tasks', metrics: perRole('ECS/ContainerInsights', 'RunningTaskCount') },
    { title: 'CPU (%)', metrics: perRole('AWS/ECS', 'CPUUtilization') },
    { title: 'Memory (%)', metrics: perRole('AWS/ECS', 'MemoryUtilization') },
  ]
  return JSON.stringify({
    widgets: plots.map(({ title, metrics }, at) => ({
      type: 'metric',
      x: (at % 2) * 12,
      y: Math.floor(at / 2) * 6,
      width: 12,
      height: 6,
      properties: { title, metrics, region, view: 'timeSeries', period: 60 },
    })),
  })
}
