/** The brokers of an environment: made here, or there before. */
import type { Environment as ContainerEnvironment } from '../app/config.ts'
import type { Environment, ExistingKafka, KafkaSize } from './environment.ts'
import type { Statement } from './policy.ts'
import { retentionSeconds } from './scale.ts'
import type { Egress } from './sinks.ts'

/** Of the cluster that is made; undefined where none is. */
export function kafkaSize({ profile, kafka }: Environment): KafkaSize | undefined {
  return profile === 'scaled' && kafka !== undefined && !isExisting(kafka) ? kafka : undefined
}

export function existingKafka({ profile, kafka }: Environment): ExistingKafka | undefined {
  return profile === 'scaled' && kafka !== undefined && isExisting(kafka) ? kafka : undefined
}

export function isExisting(kafka: KafkaSize | ExistingKafka): kafka is ExistingKafka {
  return 'brokers' in kafka
}

/** How `ingest` and `deliver` reach the log. `bootstrapBrokers`: of the cluster that is made. */
export function kafkaVariables(
  environment: Environment,
  region: string,
  bootstrapBrokers: string | undefined,
): ContainerEnvironment {
  const [size, existing] = [kafkaSize(environment), existingKafka(environment)]
  const brokers = existing?.brokers.join(',') ?? bootstrapBrokers
  const auth = existing?.auth ?? 'msk-iam'
  return {
    LOG_ENGINE: 'kafka',
    ...(brokers !== undefined && { KAFKA_BROKERS: brokers }),
    KAFKA_AUTH: auth,
    ...(auth === 'msk-iam' && { KAFKA_AWS_REGION: region }),
    // In a new cluster, nothing else can reach the brokers.
    KAFKA_CREATE_TOPICS: String(existing ? (existing.createTopics ?? false) : true),
    ...(size && { KAFKA_RETENTION_MS: String(retentionSeconds(size) * 1000) }),
  }
}

/** How to reach existing brokers. */
export function kafkaEgress(environment: Environment): readonly Egress[] {
  const existing = existingKafka(environment)
  return existing ? [{ what: 'kafka', to: existing.at, port: brokerPort(existing) }] : []
}

/** The port of all brokers; 0 where they have none, or not the same. */
export function brokerPort({ brokers }: ExistingKafka): number {
  const [port = 0, ...others] = new Set(brokers.map((broker) => Number(/:(\d+)$/.exec(broker)?.[1] ?? 0)))
  return others.length === 0 ? port : 0
}

/** Of the cluster, and of its topics and groups, whose ARNs hold the id of the cluster. */
export interface KafkaArns {
  readonly cluster: string
  readonly topics: string
  readonly groups: string
}

/** Of a cluster of MSK that is there; undefined where IAM does not decide. */
export function existingArns(environment: Environment): KafkaArns | undefined {
  const cluster = existingKafka(environment)?.clusterArn
  if (cluster === undefined) return undefined
  return {
    cluster,
    topics: `${cluster.replace(':cluster/', ':topic/')}/*`,
    groups: `${cluster.replace(':cluster/', ':group/')}/*`,
  }
}

/** What `ingest` or `deliver` may do with the brokers, where IAM decides. */
export function kafkaPermissions(
  role: 'ingest' | 'deliver',
  { cluster, topics, groups }: KafkaArns,
): readonly Statement[] {
  return [
    {
      Sid: 'KafkaCluster',
      Action: ['kafka-cluster:Connect', 'kafka-cluster:DescribeCluster', 'kafka-cluster:WriteDataIdempotently'],
      Resource: cluster,
    },
    {
      Sid: 'KafkaTopics',
      Action: [
        'kafka-cluster:CreateTopic',
        'kafka-cluster:DescribeTopic',
        'kafka-cluster:DescribeTopicDynamicConfiguration',
        'kafka-cluster:WriteData', // deliver writes dead letters
        ...(role === 'deliver' ? ['kafka-cluster:ReadData'] : []),
      ],
      Resource: topics,
    },
    ...(role === 'deliver'
      ? [{ Sid: 'KafkaGroups', Action: ['kafka-cluster:AlterGroup', 'kafka-cluster:DescribeGroup'], Resource: groups }]
      : []),
  ]
}
