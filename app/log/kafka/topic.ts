/** Checks a topic before the first write, so that a 202 keeps its promise. */
import { type Admin, ConfigResourceTypes, findErrorBy } from '@platformatic/kafka'
import { MillraceError, messageOf } from '../../errors.ts'

export interface TopicRequirements {
  readonly name: string
  /** Copies of each record, and how many must have it before it is acknowledged. */
  readonly replication: number
  readonly minInSync: number
  /** Whether to create a missing topic. */
  readonly create: boolean
  /** Partitions of a topic that is created here. */
  readonly partitions: number
  /** Largest batch, bytes; undefined: the brokers' default. An existing topic with a smaller limit causes a warning. */
  readonly maxBatchBytes?: number | undefined
  readonly retentionMs: number
}

export interface Topic {
  readonly name: string
  readonly id: string
  readonly partitions: number
  /** Largest batch of records that the brokers accept, bytes. */
  readonly maxBatchBytes: number
}

const CREATED_WITHIN_MS = 10_000
/** How long a request is retried during a failover: leaders and coordinators are elected within seconds. */
const PATIENCE_MS = 10_000
const PAUSE_MS = 250
/** Errors of Kafka, TLS and certificates that a retry does not fix. */
const REFUSED = /^(SASL_AUTH|.*_AUTHORIZATION_FAILED$|ERR_(SSL|TLS)_|SELF_SIGNED|DEPTH_ZERO|UNABLE_TO_|CERT_)/

/**
 * Finds or creates the topic.
 * @throws MillraceError CONFIG_INVALID when it is missing or keeps fewer copies than required (says how to fix it);
 *   LOG_UNAVAILABLE when no broker answers, or the brokers refuse us.
 */
export function requireTopic(admin: Admin, wanted: TopicRequirements): Promise<Topic> {
  return patiently(async () => {
    const found = (await lookUp(admin, wanted.name)) ?? (await createTopic(admin, wanted))
    const configs = await readConfigs(admin, wanted.name)
    const minInSync = numberIn(configs, 'min.insync.replicas', wanted.name)
    const maxBatchBytes = numberIn(configs, 'max.message.bytes', wanted.name)
    if (found.replication < wanted.replication) {
      throw unfit(
        `topic ${wanted.name} keeps ${found.replication} copies, KAFKA_REPLICATION asks for ${wanted.replication}`,
      )
    }
    if (minInSync < wanted.minInSync) {
      const fix = `kafka-configs.sh --alter --topic ${wanted.name} --add-config min.insync.replicas=${wanted.minInSync}`
      throw unfit(
        `topic ${wanted.name} acknowledges with ${minInSync} copies in sync, KAFKA_MIN_IN_SYNC asks for ${wanted.minInSync}: ${fix}`,
      )
    }
    const { name } = wanted
    return { name, id: found.id, partitions: found.partitions, maxBatchBytes }
  })
}

/**
 * Retries a request until the brokers answer.
 * @throws MillraceError at once if `ask` throws one; LOG_UNAVAILABLE at once if the brokers refuse us, and after
 *   PATIENCE_MS without an answer.
 */
export async function patiently<T>(ask: () => Promise<T>): Promise<T> {
  const deadline = performance.now() + PATIENCE_MS
  for (;;) {
    try {
      return await ask()
    } catch (error) {
      if (error instanceof MillraceError) throw error
      const refused = leaves(error).some(({ apiId = '', code = '' }) => REFUSED.test(apiId) || REFUSED.test(code))
      if (refused || performance.now() > deadline) {
        const check = 'check KAFKA_BROKERS, and KAFKA_AUTH with what belongs to it'
        throw new MillraceError('LOG_UNAVAILABLE', `Kafka cannot be used (${reasonOf(error)}): ${check}`, {
          cause: error,
        })
      }
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS))
    }
  }
}

interface Found {
  readonly id: string
  readonly partitions: number
  readonly replication: number
}

async function lookUp(admin: Admin, name: string): Promise<Found | undefined> {
  if (!(await admin.listTopics()).includes(name)) return undefined
  const topic = (await admin.metadata({ topics: [name], forceUpdate: true })).topics.get(name)
  if (topic === undefined) return undefined
  const copies = topic.partitions.map(({ replicas }) => replicas.length)
  if (copies.length === 0) return undefined // not created yet
  return { id: topic.id, partitions: topic.partitionsCount, replication: Math.min(...copies) }
}

async function createTopic(admin: Admin, wanted: TopicRequirements): Promise<Found> {
  const { name, create, partitions, replication, minInSync, retentionMs } = wanted
  if (!create) {
    const command = `kafka-topics.sh --create --topic ${name} --partitions ${partitions} --replication-factor ${replication} --config min.insync.replicas=${minInSync}`
    throw unfit(`topic ${name} does not exist: set KAFKA_CREATE_TOPICS=true, or make it: ${command}`)
  }
  const configs = [
    { name: 'min.insync.replicas', value: String(minInSync) },
    { name: 'retention.ms', value: String(retentionMs) },
    // Never elect a leader that lacks acknowledged events.
    { name: 'unclean.leader.election.enable', value: 'false' },
    ...(wanted.maxBatchBytes === undefined ? [] : [{ name: 'max.message.bytes', value: String(wanted.maxBatchBytes) }]),
  ]
  try {
    await admin.createTopics({ topics: [{ topic: name, partitions, replicas: replication }], configs })
  } catch (error) {
    // Another process has created it at the same time: that is fine.
    if (!findErrorBy(error as Error, 'apiId', 'TOPIC_ALREADY_EXISTS')) throw error
  }
  const deadline = performance.now() + CREATED_WITHIN_MS
  while (performance.now() < deadline) {
    const found = await lookUp(admin, name).catch(() => undefined)
    if (found !== undefined && found.partitions === partitions) return found
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  throw new MillraceError('LOG_UNAVAILABLE', `topic ${name} was made and is still not there: try again`)
}

async function readConfigs(admin: Admin, name: string): Promise<ReadonlyMap<string, string | null | undefined>> {
  const keys = ['min.insync.replicas', 'max.message.bytes']
  const resource = { resourceType: ConfigResourceTypes.TOPIC, resourceName: name, configurationKeys: keys }
  const [described] = await admin.describeConfigs({ resources: [resource] })
  return new Map(described?.configs.map((config) => [config.name, config.value]))
}

/** A missing number cannot be relied on: it is an error, not a default. */
function numberIn(configs: Awaited<ReturnType<typeof readConfigs>>, key: string, topic: string): number {
  const text = configs.get(key)
  if (text != null && /^\d+$/.test(text)) return Number(text)
  const said = text == null ? 'do not say' : `say ${JSON.stringify(text)} for`
  throw unfit(
    `the brokers ${said} ${key} of topic ${topic}: allow this user to describe the configuration of the topic`,
  )
}

function unfit(message: string): MillraceError {
  return new MillraceError('CONFIG_INVALID', message)
}

/** The error in one line: with the names of Kafka's own errors, if there are any. */
export function reasonOf(error: unknown): string {
  const causes = leaves(error)
  return [...new Set(causes.map((cause) => cause.apiId ?? messageOf(cause)))].join('; ')
}

function leaves(error: unknown): { apiId?: string; code?: string; message?: string }[] {
  if (error instanceof AggregateError && error.errors.length > 0) return error.errors.flatMap(leaves)
  if (error instanceof Error && error.cause instanceof Error) return leaves(error.cause)
  return [error as Error]
}
