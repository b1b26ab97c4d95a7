/** The log of the scaled profile: Amazon MSK, three brokers, every record on at least two before it is acknowledged. */
import { CloudwatchLogGroup } from '@cdktf/provider-aws/lib/cloudwatch-log-group/index.js'
import { MskCluster } from '@cdktf/provider-aws/lib/msk-cluster/index.js'
import { MskConfiguration } from '@cdktf/provider-aws/lib/msk-configuration/index.js'
import { SecurityGroup } from '@cdktf/provider-aws/lib/security-group/index.js'
import { VpcSecurityGroupIngressRule } from '@cdktf/provider-aws/lib/vpc-security-group-ingress-rule/index.js'
import { Construct } from 'constructs'
import type { Account, Environment } from '../environment.ts'
import { BROKERS } from '../scale.ts'
import type { Network } from './network.ts'

const KAFKA_VERSION = '3.9.x'
/** Of clients that sign in with IAM. */
export const KAFKA_IAM_PORT = 9098

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
  readonly size: NonNullable<Environment['kafka']>
  readonly network: Network
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
      name,
      kafkaVersions: [KAFKA_VERSION],
      serverProperties: `${SERVER_PROPERTIES.join('\n')}\n`,
    })
    const cluster = new MskCluster(this, 'cluster', {
      clusterName: name,
      kafkaVersion: KAFKA_VERSION,
      numberOfBrokerNodes: BROKERS,
      enhancedMonitoring: 'PER_BROKER',
      brokerNodeGroupInfo: {
        instanceType: size.brokerType,
        clientSubnets: network.privateSubnetIds,
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
      lifecycle: { preventDestroy: protect },
    })
    this.arn = cluster.arn
    this.bootstrapBrokers = cluster.bootstrapBrokersSaslIam
  }

  /** ARNs of every topic or group in this cluster; its id, which is not known yet, is part of the `*`. */
  resources(kind: 'topic' | 'group'): string {
    return `${this.#arnOf}:${kind}/${this.#name}/*`
  }
}
