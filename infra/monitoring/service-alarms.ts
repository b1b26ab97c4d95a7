/** Alarms of one service, in CloudWatch: they ring where Prometheus itself would be gone. */
import {
  CloudwatchMetricAlarm,
  type CloudwatchMetricAlarmConfig,
} from '@cdktf/provider-aws/lib/cloudwatch-metric-alarm/index.js'
import type { Construct } from 'constructs'
import { CLOUDWATCH } from '../../app/observability/cloudwatch.ts'
import { prefix, type Role } from '../names.ts'

export interface ServiceAlarmsOptions {
  /** Name of the environment: the cluster and the alarms are `millrace-<name>`, and tasks publish it as `ENVIRONMENT`. */
  readonly environment: string
  readonly role: Role
  /** Fewer of them ring an alarm. */
  readonly minTasks: number
  /** Of SNS: hears of alarms, and of their end. */
  readonly topicArn: string
}

export type AlarmConfig = Omit<CloudwatchMetricAlarmConfig, 'alarmName' | 'comparisonOperator'> & {
  readonly comparisonOperator?: string
}

export function addServiceAlarms(scope: Construct, options: ServiceAlarmsOptions): void {
  const { environment, role, minTasks, topicArn } = options
  const common = { prefix: prefix({ name: environment }), topicArn }
  const service = { ClusterName: common.prefix, ServiceName: role }
  const published = { Environment: environment, Role: role }
  const alarm = (name: string, config: AlarmConfig) => addAlarm(scope, `${role}-${name}`, common, config)
  alarm('cpu', {
    alarmDescription: `CPU of ${role} above 85 % for ten minutes: at its most tasks, or scaling does not follow`,
    namespace: 'AWS/ECS',
    metricName: 'CPUUtilization',
    dimensions: service,
    threshold: 85,
    evaluationPeriods: 10,
  })
  alarm('memory', {
    alarmDescription: `Memory of ${role} above 85 %: it is meant to stay flat`,
    namespace: 'AWS/ECS',
    metricName: 'MemoryUtilization',
    dimensions: service,
    threshold: 85,
    evaluationPeriods: 5,
  })
  alarm('tasks', {
    alarmDescription: `Fewer than ${minTasks} tasks of ${role} run`,
    namespace: 'ECS/ContainerInsights',
    metricName: 'RunningTaskCount',
    dimensions: service,
    comparisonOperator: 'LessThanThreshold',
    threshold: minTasks,
    evaluationPeriods: 5,
    treatMissingData: 'breaching',
  })
  alarm('saturation', {
    alarmDescription: `${role} is nearly full: event loop, channel or log above 90 %`,
    namespace: CLOUDWATCH.namespace,
    metricName: CLOUDWATCH.saturation,
    dimensions: published,
    threshold: 0.9,
    evaluationPeriods: 5,
  })
  if (role === 'ingest') return
  alarm('lag', {
    alarmDescription: 'A sink is far behind: it fails, or it is too slow',
    namespace: CLOUDWATCH.namespace,
    metricName: CLOUDWATCH.lag,
    statistic: 'Maximum',
    dimensions: published,
    threshold: 1_000_000,
    evaluationPeriods: 15,
  })
}

/** Averages over a minute, above a threshold, unless the config says otherwise. Its name is `<prefix>-<name>`. */
export function addAlarm(
  scope: Construct,
  name: string,
  { prefix, topicArn }: { readonly prefix: string; readonly topicArn: string },
  config: AlarmConfig,
): void {
  new CloudwatchMetricAlarm(scope, `alarm-${name}`, {
    comparisonOperator: 'GreaterThanThreshold',
    statistic: 'Average',
    period: 60,
    treatMissingData: 'notBreaching',
    alarmActions: [topicArn],
    okActions: [topicArn],
    ...config,
    alarmName: `${prefix}-${name}`,
  })
}
