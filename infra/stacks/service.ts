/** What a release changes: the cluster, the services with their scaling, and the way in. */
import { CloudwatchMetricAlarm } from '@cdktf/provider-aws/lib/cloudwatch-metric-alarm/index.js'
import { EcsCluster } from '@cdktf/provider-aws/lib/ecs-cluster/index.js'
import { EcsClusterCapacityProviders } from '@cdktf/provider-aws/lib/ecs-cluster-capacity-providers/index.js'
import type { Construct } from 'constructs'
import type { Environment as ContainerEnvironment } from '../../app/config.ts'
import { ApiKey } from '../constructs/api-key.ts'
import { Edge } from '../constructs/edge.ts'
import { FargateService } from '../constructs/fargate-service.ts'
import { KAFKA_IAM_PORT } from '../constructs/kafka-cluster.ts'
import { Scaling } from '../constructs/scaling.ts'
import { ServiceSecrets } from '../constructs/service-secrets.ts'
import type { Environment, Image, Tasks } from '../environment.ts'
import { existingArns, kafkaEgress, kafkaPermissions, kafkaVariables } from '../kafka.ts'
import { imageRepository, imageRepositoryArn, prefix, type Role, servicesOf } from '../names.ts'
import type { Place } from '../place.ts'
import type { Statement } from '../policy.ts'
import { isForRole } from '../settable.ts'
import { sinkEgress, sinkPermissions, sinkVariables } from '../sinks.ts'
import { TIMING } from '../timing.ts'
import { AwsStack } from './aws-stack.ts'
import type { Foundation } from './foundation.ts'
import type { Monitoring } from './monitoring.ts'

const PORT = 3000
const NFS_PORT = 2049

export class Service extends AwsStack {
  readonly #environment: Environment
  readonly #foundation: Foundation
  readonly #monitoring: Monitoring
  readonly #cluster: EcsCluster
  readonly #capacity: EcsClusterCapacityProviders
  readonly #apiKey: ApiKey
  readonly #secrets: ServiceSecrets
  readonly #edge: Edge

  constructor(
    scope: Construct,
    account: Place,
    environment: Environment,
    foundation: Foundation,
    monitoring: Monitoring,
  ) {
    super(scope, `${environment.name}-service`, account, environment.name)
    this.#environment = environment
    this.#foundation = foundation
    this.#monitoring = monitoring
    const name = prefix(environment)
    const { network, keyArn, accessLog } = foundation
    this.#cluster = new EcsCluster(this, 'cluster', {
      name,
      setting: [{ name: 'containerInsights', value: 'enabled' }],
    })
    this.#capacity = new EcsClusterCapacityProviders(this, 'capacity', {
      clusterName: this.#cluster.name,
      capacityProviders: ['FARGATE', 'FARGATE_SPOT'],
    })
    this.#apiKey = new ApiKey(this, 'api-key', { environment, kmsKeyArn: keyArn })
    this.#secrets = new ServiceSecrets(this, 'secrets', { account, environment })
    this.#edge = new Edge(this, 'edge', { name, environment, network, accessLog, kmsKeyArn: keyArn, port: PORT })
    for (const { role, tasks } of servicesOf(environment)) this.#run(role, tasks)

    this.output('url', this.#edge.url)
    this.output('reachability', this.#edge.reachability)
    this.output('api_key_secret', this.#apiKey.name)
    this.output('cluster', this.#cluster.name)
  }

  #run(role: Role, tasks: Tasks): void {
    const { network, keyArn } = this.#foundation
    // A log is one or the other: that of the single task, or that of all.
    const [logVolume, kafka] = role === 'all' ? [this.#foundation.logVolume] : [undefined, this.#foundation.kafka]
    const isDraining = role === 'all' && this.#environment.profile === 'scaled'
    const listens = role !== 'deliver' && !isDraining
    const service = new FargateService(this, role, {
      account: this.account,
      environment: this.#environment,
      role,
      tasks,
      network,
      kmsKeyArn: keyArn,
      cluster: { name: this.#cluster.name, arn: this.#cluster.arn },
      image: imageOf(this.account, this.#environment.image),
      repositoryArn: imageRepositoryArn(this.account),
      variables: {
        ...this.#variables(role),
        ...(isDraining && { HOST: '127.0.0.1' }),
      },
      secrets: { ...this.#secrets.valuesFrom(role), ...(listens && { API_KEYS: this.#apiKey.arn }) },
      startPermissions: [
        ...(listens ? [{ Action: 'secretsmanager:GetSecretValue', Resource: [this.#apiKey.arn] }] : []),
        ...this.#secrets.statements(role),
      ],
      permissions: this.#permissions(role),
      workspaceArn: this.#monitoring.workspaceArn,
      collectorVersion: this.#monitoring.collectorVersion,
      volume: logVolume,
      ...(listens && {
        behind: {
          securityGroupId: this.#edge.securityGroupId,
          targetGroupArn: this.#edge.targetGroupArn,
          port: PORT,
        },
      }),
      connectsTo: [
        ...(logVolume ? [{ securityGroupId: logVolume.securityGroupId, port: NFS_PORT, what: 'log' }] : []),
        ...(kafka ? [{ securityGroupId: kafka.securityGroupId, port: KAFKA_IAM_PORT, what: 'kafka' }] : []),
      ],
      egress: [
        ...(role === 'ingest' ? [] : sinkEgress(this.#environment)),
        ...(role === 'all' ? [] : kafkaEgress(this.#environment)),
      ],
      rollbackAlarms: listens ? this.#rollbackAlarms() : [this.#monitoring.lagAlarmOf(role)],
      dependsOn: [this.#capacity, ...(listens ? [this.#apiKey.value, this.#edge.listener] : [])],
    })
    // Databases and brokers of others let this group in.
    this.output(`security_group_${role}`, service.securityGroupId)
    if (tasks.maxTasks === 1) return
    new Scaling(this, `${role}-scaling`, {
      environment: this.#environment,
      role,
      tasks,
      clusterName: this.#cluster.name,
      service,
      ...(listens && { balancer: this.#edge.dimensions }),
    })
  }

  get #archive() {
    const { archive, keyArn } = this.#foundation
    return { name: archive.name, arn: archive.arn, keyArn }
  }

  /** Typed by the app's own schema: a variable that is renamed there does not compile here. */
  #variables(role: Role): ContainerEnvironment {
    const given = Object.entries(this.#environment.variables ?? {}).filter(([name]) => isForRole(name, role))
    const common: ContainerEnvironment = {
      ...Object.fromEntries(given),
      ROLE: role,
      ENVIRONMENT: this.#environment.name,
      CLOUDWATCH_INTERVAL_MS: String(TIMING.cloudWatchSeconds * 1000),
      ADMIN_HOST: '127.0.0.1', // the collector shares the task's network
      ADMIN_PORT: '9464',
      SHUTDOWN_GRACE_MS: String(TIMING.shutdownGraceSeconds * 1000),
      SHUTDOWN_DRAIN_MS: String(TIMING.shutdownDrainSeconds * 1000),
    }
    const listening: ContainerEnvironment = {
      HOST: '0.0.0.0', // only the load balancer's group may connect
      PORT: String(PORT),
      ...(this.#environment.tlsToTasks && { TLS_SELF_SIGNED: 'true' }),
    }
    const sinks = sinkVariables(this.#environment, this.account, this.#archive)
    if (role === 'all') return { ...common, ...listening, LOG_ENGINE: 'embedded', DATA_DIR: './data', ...sinks }
    const { kafka: made } = this.#foundation
    const kafka = kafkaVariables(this.#environment, this.account.region, made?.bootstrapBrokers)
    if (role === 'ingest') return { ...common, ...listening, ...kafka }
    return { ...common, ...kafka, ...sinks }
  }

  #permissions(role: Role): readonly Statement[] {
    const arns = this.#foundation.kafka?.arns ?? existingArns(this.#environment)
    return [
      ...(role === 'ingest' ? [] : sinkPermissions(this.#environment, this.#archive)),
      ...(arns && role !== 'all' ? kafkaPermissions(role, arns) : []),
    ]
  }

  /** What a bad release shows first; both page as well. */
  #rollbackAlarms(): string[] {
    const { LoadBalancer, TargetGroup } = this.#edge.dimensions
    const name = prefix(this.#environment)
    const common = {
      namespace: 'AWS/ApplicationELB',
      comparisonOperator: 'GreaterThanThreshold',
      period: 60,
      datapointsToAlarm: 2,
      treatMissingData: 'notBreaching',
      alarmActions: [this.#monitoring.topicArn],
      okActions: [this.#monitoring.topicArn],
      dimensions: { LoadBalancer, TargetGroup },
    }
    const errors = new CloudwatchMetricAlarm(this, 'server-errors', {
      ...common,
      alarmName: `${name}-server-errors`,
      alarmDescription: 'Tasks answer with 5xx. Runbook: docs/runbooks/deploy.md#a-release-went-wrong',
      metricName: 'HTTPCode_Target_5XX_Count',
      statistic: 'Sum',
      threshold: 10,
      evaluationPeriods: 3,
    })
    const unhealthy = new CloudwatchMetricAlarm(this, 'unhealthy-tasks', {
      ...common,
      alarmName: `${name}-unhealthy-tasks`,
      alarmDescription: 'Tasks fail their health check. Runbook: docs/runbooks/deploy.md#a-release-went-wrong',
      metricName: 'UnHealthyHostCount',
      statistic: 'Minimum',
      threshold: 0,
      evaluationPeriods: 5,
      datapointsToAlarm: 5,
    })
    return [errors.alarmName, unhealthy.alarmName]
  }
}

function imageOf(account: Place, image: Image): string {
  const repository = imageRepository(account)
  return 'digest' in image ? `${repository}@${image.digest}` : `${repository}:${image.tag}`
}
