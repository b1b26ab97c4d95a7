/** Which log: segment files of this process, or topics in Kafka. */
import { join } from 'node:path'
import type { Config } from './config.ts'
import { EmbeddedLog } from './log/embedded/embedded-log.ts'
import type { Log, LogObserver } from './log/log.ts'

/** The log of events. */
export function openLog(config: Config, observer: LogObserver): Promise<Log> {
  if (config.LOG_ENGINE === 'embedded') return openFiles(config, 'log', config.LOG_MAX_BYTES, observer)
  return openTopic(config, { name: config.KAFKA_TOPIC, partitions: config.KAFKA_PARTITIONS, shared: true }, observer)
}

/** The log of what `sink` could not take. */
export function openDeadLetters(config: Config, sink: string, observer: LogObserver): Promise<Log> {
  if (config.LOG_ENGINE === 'embedded') {
    return openFiles(config, join('dead-letters', sink), config.DEAD_LETTER_MAX_BYTES, observer)
  }
  // Few, and in the order they came: one partition, which any process may replay.
  const name = `${config.KAFKA_TOPIC}.dead-letters.${sink}`
  return openTopic(config, { name, partitions: 1, shared: false }, observer)
}

function openFiles(config: Config, name: string, maxBytes: number, observer: LogObserver): Promise<EmbeddedLog> {
  return EmbeddedLog.open({
    directory: join(config.DATA_DIR, name),
    maxBytes,
    segmentBytes: Math.min(config.LOG_SEGMENT_BYTES, Math.floor(maxBytes / 4)),
    retentionMs: config.LOG_RETENTION_MS,
    observer,
  })
}

/** Loaded only when it is used: the client takes 60 MB and a third of a second. */
async function openTopic(
  config: Config,
  topic: { readonly name: string; readonly partitions: number; readonly shared: boolean },
  observer: LogObserver,
): Promise<Log> {
  const { KafkaLog } = await import('./log/kafka/kafka-log.ts')
  return KafkaLog.open({
    connection: {
      brokers: config.KAFKA_BROKERS,
      auth: config.KAFKA_AUTH,
      username: config.KAFKA_USERNAME,
      password: config.KAFKA_PASSWORD,
      caFile: config.KAFKA_CA_FILE,
      certFile: config.KAFKA_CERT_FILE,
      keyFile: config.KAFKA_KEY_FILE,
      awsRegion: config.KAFKA_AWS_REGION,
      requestTimeoutMs: config.KAFKA_REQUEST_TIMEOUT_MS,
    },
    topic: {
      name: topic.name,
      partitions: topic.partitions,
      replication: config.KAFKA_REPLICATION,
      minInSync: config.KAFKA_MIN_IN_SYNC,
      create: config.KAFKA_CREATE_TOPICS,
      retentionMs: config.KAFKA_RETENTION_MS,
    },
    writeTimeoutMs: config.KAFKA_WRITE_TIMEOUT_MS,
    groupPrefix: topic.shared ? config.KAFKA_GROUP : `${config.KAFKA_GROUP}.${topic.name}`,
    shared: topic.shared,
    observer,
  })
}
