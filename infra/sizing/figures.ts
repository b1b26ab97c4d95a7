/**
 * Every figure that `millrace plan` computes with, and where it comes from: the only place to change one. The tables of
 * `docs/scaling.md` are written from here. Prices: ./prices.ts.
 */
import { VARIABLES } from '../../app/config.ts'
import { BROKERS, MAX_TASKS, TARGETS } from '../scale.ts'

/** What a core was measured with. */
export interface Point {
  /** In one request. */
  readonly events: number
  /** Of one event. */
  readonly bytes: number
}

export const POINTS = {
  single: { events: 1, bytes: 273 },
  tiny: { events: 100, bytes: 32 },
  batch: { events: 100, bytes: 273 },
  large: { events: 16, bytes: 16_384 },
} as const satisfies Record<string, Point>

/** Events for each second of CPU time, over all threads of the process. Delivery sees no requests, so it has no `single`. */
export interface PerCore {
  readonly single?: number
  readonly tiny: number
  readonly batch: number
  readonly large: number
  readonly source: string
}

const BENCH = 'npm run bench -- capacity'
const KAFKA_BENCH = `LOG_ENGINE=kafka KAFKA_BROKERS=… ${BENCH}`

/**
 * The slowest round of each, rounded down: a plan should rather be too large. To measure again: `npm run bench -- capacity` prints
 * them in this order; around Kafka with LOG_ENGINE and KAFKA_BROKERS in the environment.
 */
export const EVENTS_PER_CORE_SECOND = {
  embeddedIngestEventsPerCoreSecond: {
    single: 34_000,
    tiny: 1_500_000,
    batch: 360_000,
    large: 5_400,
    source: `${BENCH}, November 2026`,
  },
  embeddedDeliverEventsPerCoreSecond: {
    tiny: 1_300_000,
    batch: 370_000,
    large: 5_300,
    source: `${BENCH}, file sink, November 2026`,
  },
  kafkaIngestEventsPerCoreSecond: {
    single: 29_000,
    tiny: 360_000,
    batch: 130_000,
    large: 4_500,
    source: `${KAFKA_BENCH}, one broker over TLS, 24 partitions, November 2026`,
  },
  kafkaDeliverEventsPerCoreSecond: {
    tiny: 400_000,
    batch: 150_000,
    large: 3_800,
    source: `${KAFKA_BENCH}, the same, file sink`,
  },
} as const satisfies Record<string, PerCore>

export interface Figure {
  readonly value: number
  readonly unit: string
  readonly what: string
  readonly source: string
}

const MSK_QUOTAS = 'Amazon MSK quotas (docs.aws.amazon.com/msk/latest/developerguide/limits.html), read November 2026'
/** Also in a table of the awslabs/mcp repository (aws-msk-mcp-server, cluster_best_practices.py), which rounds them. */
const MSK_SIZING =
  'AWS sizing of Standard brokers (github.com/aws/agent-toolkit-for-aws, managing-amazon-msk/scripts/msk_sizing.py), June 2026'
const ALB_QUOTAS =
  'Application Load Balancer quotas (docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-limits.html), read November 2026'

export const FIGURES = {
  // A task: one Node process, so one core.
  taskUse: {
    value: TARGETS.loopUse,
    unit: 'of what it can',
    what: 'a task or a partition is planned to do; the rest lasts while autoscaling starts more tasks',
    source: 'infra/scale.ts, target of CPU and event loop',
  },
  taskNetworkMibps: {
    value: 62,
    unit: 'MiB/s each way',
    what: 'network of a task of 1 vCPU',
    source:
      'assumed: Fargate states none; EC2 gives m7g.medium, the same core, 520 Mbit/s at any time (github.com/aws/karpenter-provider-aws, zz_generated.bandwidth.go, from the EC2 API, November 2026)',
  },
  taskMemoryGib: { value: 2, unit: 'GiB', what: 'memory of a task', source: 'the least Fargate offers beside 1 vCPU' },
  ingestMinTasks: {
    value: BROKERS,
    unit: 'tasks',
    what: 'least of ingest: one in each zone',
    source: 'infra/scale.ts, zones',
  },
  deliverMinTasks: {
    value: 2,
    unit: 'tasks',
    what: 'least of deliver: one may be lost',
    source: 'our choice',
  },
  httpBytesPerRequest: {
    value: 400,
    unit: 'bytes',
    what: 'headers of a request and its answer',
    source: 'counted: a request of `millrace send` behind a load balancer',
  },
  balancerTargets: { value: 1000, unit: 'tasks', what: 'of ingest behind one load balancer', source: ALB_QUOTAS },
  serviceTasks: { value: MAX_TASKS, unit: 'tasks', what: 'of one role', source: 'infra/scale.ts' },

  // The topic
  zones: { value: BROKERS, unit: 'zones', what: 'of brokers and tasks', source: 'infra/scale.ts, one broker in each' },
  partitionMibps: {
    value: 10,
    unit: 'MiB/s',
    what: 'into one partition',
    source:
      'Kafka’s rule of thumb, “10s of MB/sec”, its low end (J. Rao, confluent.io/blog/how-choose-number-topics-partitions-kafka-cluster)',
  },
  partitionsPerTask: {
    value: 3,
    unit: 'partitions',
    what: 'for each task of deliver at least: room for three times the tasks without moving keys',
    source: 'our choice: partitions cannot be fewer later, and more of them move keys',
  },
  topicPartitions: {
    value: 10_000,
    unit: 'partitions',
    what: 'most of one topic',
    source: 'our choice: with more, batches of one event a partition cost brokers more than this model knows',
  },
  topicBytesPerEvent: {
    value: 64,
    unit: 'bytes',
    what: 'beside each event in the topic: key, framing, its share of a batch header',
    source: 'record format of Kafka 3.9: 12 + a key of 20 + half of a header of 61 (batches of two)',
  },
  segmentGib: {
    value: 1,
    unit: 'GiB',
    what: 'of each copy of a partition kept beyond its retention: a segment is deleted as a whole',
    source: 'Apache Kafka 3.9 documentation, segment.bytes',
  },

  // Standard brokers
  brokerUse: { value: 0.5, unit: 'of throughput', what: 'a broker is planned to use', source: MSK_SIZING },
  storageIoPerByte: {
    value: 6.5,
    unit: 'bytes',
    what: 'of storage throughput for a byte that comes in, a zone down: writes 1.5, copies 1.5, late readers 0.5, partitions moving 3',
    source: MSK_SIZING,
  },
  networkIoPerByte: {
    value: 5.7,
    unit: 'bytes',
    what: 'out of a broker for a byte that comes in, a zone down: copies 2.2, late readers 0.5, partitions moving 3',
    source: MSK_SIZING,
  },
  networkIoPerSink: { value: 1.5, unit: 'bytes', what: 'more for each sink', source: MSK_SIZING },
  brokerConnections: { value: 3000, unit: 'connections', what: 'to one broker, IAM', source: MSK_QUOTAS },
  brokersPerCluster: {
    value: 30,
    unit: 'brokers',
    what: 'of one cluster with ZooKeeper, as we deploy it (KRaft: 60; can be raised)',
    source: MSK_QUOTAS,
  },
  brokersPerAccount: { value: 90, unit: 'brokers', what: 'of one account (can be raised)', source: MSK_QUOTAS },
  brokerStorageGib: { value: 16_384, unit: 'GiB', what: 'most of one broker', source: MSK_QUOTAS },
  storageFill: {
    value: 0.6,
    unit: 'of storage',
    what: 'planned to be full: a broker that is full takes nothing more',
    source: 'AWS: scale storage at 50 to 60 %, alarm at 85 % (agent-toolkit-for-aws, manage-storage.md), June 2026',
  },
  defaultStorageMibps: {
    value: 250,
    unit: 'MiB/s',
    what: 'of a volume unless more is provisioned',
    source:
      'docs.aws.amazon.com/msk/latest/developerguide/msk-provision-throughput-management.html, read November 2026',
  },
  ingestConnections: {
    value: 2,
    unit: 'connections',
    what: 'of a task of ingest to each broker',
    source: 'one for writing, one for asking about the topic',
  },
  deliverConnections: {
    value: 5,
    unit: 'connections',
    what: 'of a sink in a task of deliver to each broker, at most',
    source: 'fetching, membership, offsets, and two for dead letters',
  },

  // One machine of one's own, m7g.large
  machineCores: { value: 2, unit: 'vCPU', what: 'of m7g.large; the event loop uses one', source: 'EC2 instance types' },
  machineMemoryGib: { value: 8, unit: 'GiB', what: 'of m7g.large', source: 'EC2 instance types' },
  machineStorageMibps: {
    value: 78.75,
    unit: 'MiB/s',
    what: 'storage throughput of m7g.large at any time',
    source: `${MSK_SIZING}, row kafka.m7g.large`,
  },
  machineNetworkMibps: {
    value: 117,
    unit: 'MiB/s each way',
    what: 'network of m7g.large at any time',
    source: `${MSK_SIZING}, row kafka.m7g.large`,
  },
  machineLogGib: {
    value: Number(VARIABLES.LOG_MAX_BYTES?.maximum) / 2 ** 30,
    unit: 'GiB',
    what: 'most of the embedded log',
    source: 'app/log/variables.ts, LOG_MAX_BYTES',
  },
} as const satisfies Record<string, Figure>

export interface BrokerType {
  readonly type: string
  readonly storageMibps: number
  readonly networkMibps: number
  /** Recommended, copies counted. */
  readonly partitions: number
}

/**
 * Smallest first. Larger ones than 4xlarge get no more storage throughput for their price; t3.small is for trying things out.
 * Throughput and partitions: MSK_SIZING; partitions also docs.aws.amazon.com/msk/latest/developerguide/bestpractices.html.
 */
export const BROKER_TYPES: readonly BrokerType[] = [
  { type: 'kafka.m7g.large', storageMibps: 78.75, networkMibps: 117, partitions: 1000 },
  { type: 'kafka.m7g.xlarge', storageMibps: 156.25, networkMibps: 234, partitions: 1000 },
  { type: 'kafka.m7g.2xlarge', storageMibps: 312.5, networkMibps: 469, partitions: 2000 },
  { type: 'kafka.m7g.4xlarge', storageMibps: 625, networkMibps: 937, partitions: 4000 },
]
