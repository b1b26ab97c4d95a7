/**
 * The log of the scaled profile: Amazon MSK, three brokers, every record on at least two before it is acknowledged.
 * Their disks grow by themselves: https://docs.aws.amazon.com/msk/latest/developerguide/msk-autoexpand.html
 */
import { AppautoscalingPolicy } from '@cdktf/provider-aws/lib/appautoscaling-policy/index.js'
import { AppautoscalingTarget } from '@cdktf/provider-aws/lib/appautoscaling-target/index.js'
import { CloudwatchLogGroup } from '@cdktf/provider-aws/lib/cloudwatch-log-group/index.js'
import { MskCluster } from '@cdktf/provider-aws/lib/msk-cluster/index.js'
import { MskConfiguration } from '@cdktf/provider-aws/lib/msk-configuration/index.js'
import { SecurityGroup } from '@cdktf/provider-aws/lib/security-group/index.js'
import { VpcSecurityGroupIngressRule } from '@cdktf/provider-aws/lib/vpc-security-group-ingress-rule/index.js'
import { Construct } from 'constructs'
import type { Account, Environment, ExistingNetwork, KafkaSize } from '../environment.ts'
import type { KafkaArns } from '../kafka.ts'
import { BROKERS, GROW_DISK_PERCENT, maxStorageGiB } from '../scale.ts'

const KAFKA_VERSION = '3.9.x'
/** Of clients that sign in with IAM. */
export const KAFKA_IAM_PORT = 9098

const VOLUME_SIZE = 'broker_node_group_info[0].storage_info[0].ebs_storage_info[0].volume_size'

const SERVER_PROPERTIES = [
  'auto.create.topics.enable=false',
  `default.replication.factor=${BROKERS}`,
  'min.insync.replicas=2',
  'unclean.leader.election.enable=false',
]

export interface KafkaClusterOptions {
  readonly name: string
  readonly account: Account
  readonly environment: Environment
  readonly size: KafkaSize
  readonly network: ExistingNetwork
  readonly kmsKeyArn: string
  readonly protect: boolean
}

export class KafkaCluster extends Construct {
  readonly arn: string
  readonly bootstrapBrokers: string
  readonly securityGroupId: string
  readonly #name: string
  readonly #arnOf: string

  constructor(scope: Construct, id: string, options: KafkaClusterOptions) {
    super(scope, id)
    const { name, account, environment, size, network, kmsKeyArn, protect } = options
    this.#name = name
    this.#arnOf = `arn:aws:kafka:${account.region}:${account.id}`
    const group = new SecurityGroup(this, 'group', {
      vpcId: network.vpcId,
      namePrefix: `${name}-kafka-`,
      description: 'Kafka brokers, reached by the tasks and by each other',
      tags: { Name: `${name}-kafka` },
      lifecycle: { createBeforeDestroy: true },
    })
    this.securityGroupId = group.id
    new VpcSecurityGroupIngressRule(this, 'between-brokers', {
      securityGroupId: group.id,
      description: 'Brokers among themselves',
      referencedSecurityGroupId: group.id,
      ipProtocol: '-1',
    })
    const logs = new CloudwatchLogGroup(this, 'broker-logs', {
      name: `/millrace/${environment.name}/kafka`,
      retentionInDays: environment.logRetentionDays,
      kmsKeyId: kmsKeyArn,
    })
    const configuration = new MskConfiguration(this, 'configuration', {
      // Another version of Kafka is another configuration, and the cluster uses this one until it has that.
      name: `${name}-${KAFKA_VERSION.replaceAll('.', '-')}`,
      kafkaVersions: [KAFKA_VERSION],
      serverProperties: `${SERVER_PROPERTIES.join('\n')}\n`,
      lifecycle: { createBeforeDestroy: true },
    })
    const cluster = new MskCluster(this, 'cluster', {
      clusterName: name,
      kafkaVersion: KAFKA_VERSION,
      numberOfBrokerNodes: BROKERS,
      enhancedMonitoring: 'DEFAULT', // free, by broker, and has all that alarms read
      brokerNodeGroupInfo: {
        instanceType: size.brokerType,
        clientSubnets: [...network.privateSubnetIds],
        securityGroups: [group.id],
        storageInfo: { ebsStorageInfo: { volumeSize: size.storageGiB } },
      },
      configurationInfo: { arn: configuration.arn, revision: configuration.latestRevision },
      clientAuthentication: { sasl: { iam: true } },
      encryptionInfo: {
        encryptionAtRestKmsKeyArn: kmsKeyArn,
        encryptionInTransit: { clientBroker: 'TLS', inCluster: true },
      },
      loggingInfo: { brokerLogs: { cloudwatchLogs: { enabled: true, logGroup: logs.name } } },
      lifecycle: { preventDestroy: protect, ignoreChanges: [VOLUME_SIZE] }, // it has grown since
    })
    this.arn = cluster.arn
    this.bootstrapBrokers = cluster.bootstrapBrokersSaslIam
    this.#growDisks(cluster.arn, size)
  }

  #growDisks(clusterArn: string, size: KafkaSize): void {
    const target = new AppautoscalingTarget(this, 'disks', {
      serviceNamespace: 'kafka',
      scalableDimension: 'kafka:broker-storage:VolumeSize',
      resourceId: clusterArn,
      minCapacity: 1, // AWS asks for this one
      maxCapacity: maxStorageGiB(size),
    })
    new AppautoscalingPolicy(this, 'growing-disks', {
      name: `${this.#name}-disks`,
      policyType: 'TargetTrackingScaling',
      serviceNamespace: target.serviceNamespace,
      scalableDimension: target.scalableDimension,
      resourceId: target.resourceId,
      targetTrackingScalingPolicyConfiguration: {
        targetValue: GROW_DISK_PERCENT,
        disableScaleIn: true, // a volume cannot shrink
        predefinedMetricSpecification: { predefinedMetricType: 'KafkaBrokerStorageUtilization' },
      },
    })
  }

  /** The id of the cluster, which is not known yet, is part of the `*`. */
  get arns(): KafkaArns {
    return {
      cluster: this.arn,
      topics: `${this.#arnOf}:topic/${this.#name}/*`,
      groups: `${this.#arnOf}:group/${this.#name}/*`,
    }
  }
}
