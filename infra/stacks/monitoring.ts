/** Who hears of what: metrics, alarms, a dashboard, the budget. Before the service, which sends its metrics here. */
import { BudgetsBudget } from '@cdktf/provider-aws/lib/budgets-budget/index.js'
import { CloudwatchDashboard } from '@cdktf/provider-aws/lib/cloudwatch-dashboard/index.js'
import { CloudwatchLogGroup } from '@cdktf/provider-aws/lib/cloudwatch-log-group/index.js'
import { CloudwatchMetricAlarm } from '@cdktf/provider-aws/lib/cloudwatch-metric-alarm/index.js'
import { GrafanaWorkspace } from '@cdktf/provider-aws/lib/grafana-workspace/index.js'
import { PrometheusAlertManagerDefinition } from '@cdktf/provider-aws/lib/prometheus-alert-manager-definition/index.js'
import { PrometheusRuleGroupNamespace } from '@cdktf/provider-aws/lib/prometheus-rule-group-namespace/index.js'
import { PrometheusWorkspace } from '@cdktf/provider-aws/lib/prometheus-workspace/index.js'
import { SnsTopic } from '@cdktf/provider-aws/lib/sns-topic/index.js'
import { SnsTopicPolicy } from '@cdktf/provider-aws/lib/sns-topic-policy/index.js'
import { SnsTopicSubscription } from '@cdktf/provider-aws/lib/sns-topic-subscription/index.js'
import type { Construct } from 'constructs'
import { ServiceRole } from '../constructs/service-role.ts'
import type { Environment } from '../environment.ts'
import { kafkaSize } from '../kafka.ts'
import { alertManagerConfig } from '../monitoring/alert-manager.ts'
import { dashboard } from '../monitoring/cloudwatch-dashboard.ts'
import { addCollector } from '../monitoring/collector.ts'
import { rulesYaml } from '../monitoring/rules.ts'
import { type AlarmConfig, addAlarm, addServiceAlarms } from '../monitoring/service-alarms.ts'
import { prefix, type Role, servicesOf } from '../names.ts'
import type { Place } from '../place.ts'
import { policy } from '../policy.ts'
import { BROKERS, DISK_ALARM_PERCENT, GROW_DISK_PERCENT } from '../scale.ts'
import { AwsStack } from './aws-stack.ts'
import type { Foundation } from './foundation.ts'

export class Monitoring extends AwsStack {
  readonly topicArn: string
  readonly workspaceArn: string
  /** Of the collector's configuration: another one, another number. */
  readonly collectorVersion: string
  readonly #environment: Environment

  constructor(scope: Construct, account: Place, environment: Environment, foundation: Foundation) {
    super(scope, `${environment.name}-monitoring`, account, environment.name)
    this.#environment = environment
    const name = prefix(environment)
    this.topicArn = this.#topic(name, foundation.keyArn)

    const queries = new CloudwatchLogGroup(this, 'prometheus-log', {
      name: `/aws/vendedlogs/prometheus/${name}`,
      retentionInDays: environment.logRetentionDays,
      kmsKeyId: foundation.keyArn,
    })
    const workspace = new PrometheusWorkspace(this, 'prometheus', {
      alias: name,
      loggingConfiguration: { logGroupArn: `${queries.arn}:*` },
    })
    this.workspaceArn = workspace.arn
    const { owner, repository } = account.github
    new PrometheusRuleGroupNamespace(this, 'rules', {
      name: 'millrace',
      workspaceId: workspace.id,
      data: rulesYaml({
        fleets: servicesOf(environment).map(({ role, tasks }) => ({ role, ...tasks })),
        runbooks: `https://github.com/${owner}/${repository}/blob/main/docs/runbooks/`,
        intervalSeconds: 60,
      }),
    })
    new PrometheusAlertManagerDefinition(this, 'alert-manager', {
      workspaceId: workspace.id,
      definition: alertManagerConfig(account, environment.name, this.topicArn),
    })
    if (environment.managedGrafana) this.#grafana(name, workspace.arn)
    this.collectorVersion = addCollector(this, {
      region: account.region,
      remoteWriteUrl: `${workspace.prometheusEndpoint}api/v1/remote_write`,
      environment: environment.name,
    })

    const { topicArn } = this
    for (const { role, tasks } of servicesOf(environment)) {
      addServiceAlarms(this, { environment: environment.name, role, minTasks: tasks.minTasks, topicArn })
    }
    if (kafkaSize(environment)) this.#kafkaAlarms()
    new CloudwatchDashboard(this, 'dashboard', {
      dashboardName: name,
      dashboardBody: dashboard(environment, account.region),
    })
    new BudgetsBudget(this, 'budget', {
      name,
      budgetType: 'COST',
      timeUnit: 'MONTHLY',
      limitAmount: environment.budgetUsdPerMonth.toFixed(1),
      limitUnit: 'USD',
      costFilter: [{ name: 'TagKeyValue', values: [`user:Environment$${environment.name}`] }],
      notification: [
        { notificationType: 'ACTUAL', threshold: 80 },
        { notificationType: 'FORECASTED', threshold: 100 },
      ].map((notification) => ({
        ...notification,
        comparisonOperator: 'GREATER_THAN',
        thresholdType: 'PERCENTAGE',
        subscriberEmailAddresses: [account.alertsEmail],
      })),
    })
    this.output('prometheus_endpoint', workspace.prometheusEndpoint)
  }

  /** What a bad release of a service that only delivers shows first. */
  lagAlarmOf(role: Role): string {
    return this.#nameOf(`${role}-lag`)
  }

  #nameOf(alarm: string): string {
    return `${prefix(this.#environment)}-${alarm}`
  }

  #topic(name: string, kmsKeyArn: string): string {
    const topic = new SnsTopic(this, 'alarms', { name: `${name}-alarms`, kmsMasterKeyId: kmsKeyArn })
    new SnsTopicPolicy(this, 'alarms-policy', {
      arn: topic.arn,
      policy: policy({
        Sid: 'AlarmsOfThisAccount',
        Principal: { Service: ['cloudwatch.amazonaws.com', 'aps.amazonaws.com'] },
        Action: 'sns:Publish',
        Resource: topic.arn,
        Condition: { StringEquals: { 'aws:SourceAccount': this.account.id } },
      }),
    })
    new SnsTopicSubscription(this, 'alarms-email', {
      topicArn: topic.arn,
      protocol: 'email',
      endpoint: this.account.alertsEmail,
    })
    return topic.arn
  }

  /** Its dashboards are imported by `npm run import-dashboards`. */
  #grafana(name: string, workspaceArn: string): void {
    const role = new ServiceRole(this, 'grafana-role', {
      name: `${name}-grafana`,
      account: this.account,
      service: 'grafana.amazonaws.com',
      statements: [
        {
          Action: ['aps:GetLabels', 'aps:GetMetricMetadata', 'aps:GetSeries', 'aps:QueryMetrics'],
          Resource: workspaceArn,
        },
        { Action: 'aps:ListWorkspaces', Resource: '*' }, // AWS has no narrower one
      ],
    })
    const grafana = new GrafanaWorkspace(this, 'grafana', {
      name,
      accountAccessType: 'CURRENT_ACCOUNT',
      authenticationProviders: ['AWS_SSO'],
      permissionType: 'CUSTOMER_MANAGED',
      roleArn: role.arn,
      dataSources: ['PROMETHEUS'],
    })
    this.output('grafana', `https://${grafana.endpoint}`)
  }

  #kafkaAlarms(): void {
    const dimensions = { 'Cluster Name': prefix(this.#environment) }
    this.#alarm('kafka-controller', {
      alarmDescription: 'The Kafka cluster has not exactly one active controller',
      namespace: 'AWS/Kafka',
      metricName: 'ActiveControllerCount',
      statistic: 'Maximum',
      comparisonOperator: 'LessThanThreshold',
      dimensions,
      threshold: 1,
      evaluationPeriods: 5,
      treatMissingData: 'breaching', // a cluster that is gone counts nothing
    })
    this.#alarm('kafka-offline-partitions', {
      alarmDescription: 'Partitions without a leader: writes to them are refused',
      namespace: 'AWS/Kafka',
      metricName: 'OfflinePartitionsCount',
      statistic: 'Maximum',
      dimensions,
      threshold: 0,
      evaluationPeriods: 2,
    })
    for (let broker = 1; broker <= BROKERS; broker++) this.#brokerAlarms(broker)
  }

  #brokerAlarms(broker: number): void {
    const dimensions = { 'Cluster Name': prefix(this.#environment), 'Broker ID': String(broker) }
    this.#alarm(`kafka-disk-${broker}`, {
      alarmDescription: `Broker ${broker} has used ${DISK_ALARM_PERCENT} % of its disk, which grows from ${GROW_DISK_PERCENT} % on`,
      namespace: 'AWS/Kafka',
      metricName: 'KafkaDataLogsDiskUsed',
      statistic: 'Maximum',
      dimensions,
      threshold: DISK_ALARM_PERCENT,
      evaluationPeriods: 5,
    })
    this.#alarm(`kafka-min-isr-${broker}`, {
      alarmDescription: `Partitions led by broker ${broker} have too few copies in sync: writes to them are refused`,
      namespace: 'AWS/Kafka',
      metricName: 'UnderMinIsrPartitionCount',
      statistic: 'Maximum',
      dimensions,
      threshold: 0,
      evaluationPeriods: 3,
    })
    const used = (id: string, metricName: string) => ({
      id,
      metric: { namespace: 'AWS/Kafka', metricName, dimensions, period: 60, stat: 'Average' },
    })
    new CloudwatchMetricAlarm(this, `alarm-kafka-cpu-${broker}`, {
      alarmName: this.#nameOf(`kafka-cpu-${broker}`),
      alarmDescription: `CPU of broker ${broker} above 60 % for 15 minutes: one broker less, and the others have no room`,
      comparisonOperator: 'GreaterThanThreshold',
      threshold: 60,
      evaluationPeriods: 15,
      treatMissingData: 'notBreaching',
      alarmActions: [this.topicArn],
      okActions: [this.topicArn],
      metricQuery: [
        used('user', 'CpuUser'),
        used('system', 'CpuSystem'),
        { id: 'used', expression: 'user + system', label: 'CPU in use', returnData: true },
      ],
    })
  }

  #alarm(name: string, config: AlarmConfig): void {
    addAlarm(this, name, { prefix: prefix(this.#environment), topicArn: this.topicArn }, config)
  }
}
