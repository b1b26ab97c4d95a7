/** Opens the log that LOG_ENGINE selects: segment files of this process, or topics in Kafka. */
import { join } from 'node:path'
import type { Config } from '../config.ts'
import { identityOfReceived } from '../event/attributes.ts'
import { scanner } from '../event/names.ts'
import { nextHead } from '../json/scanner.ts'
import { DeduplicationWindow } from './deduplication.ts'
import { EmbeddedLog } from './embedded/embedded-log.ts'
import type { Files } from './embedded/files.ts'
import { inspectLog } from './embedded/inspect.ts'
import { LogMirror } from './embedded/log-mirror.ts'
import { deadLetterTopic } from './kafka/variables.ts'
import type { Log, LogObserver, SharedLog } from './log.ts'
import { MAX_LETTER_GROWTH } from './variables.ts'

/** The log of events. */
export function openLog(config: Config, observer: LogObserver): Promise<Log> {
  if (config.LOG_ENGINE === 'embedded')
    return openFiles(config, 'log', config.LOG_MAX_BYTES, observer, config.DEDUPLICATION_WINDOW_EVENTS)
  return openTopic(config, { name: config.KAFKA_TOPIC, partitions: config.KAFKA_PARTITIONS, shared: true }, observer)
}

/** The log of another thread, which has shared it. */
export function openSharedLog(shared: SharedLog): LogMirror {
  return new LogMirror(shared)
}

/**
 * Reads the identities of the last DEDUPLICATION_WINDOW_EVENTS events from the log; undefined when that is 0. Takes
 * about two seconds for a million events.
 * @param log already open, so that its end is known and valid.
 * @param files default: the real file system.
 */
export async function openWindow(
  config: Config,
  log: Pick<Log, 'committedEvents'>,
  files?: Files,
): Promise<DeduplicationWindow | undefined> {
  const { DEDUPLICATION_WINDOW_EVENTS: events } = config
  if (events === 0) return undefined
  const window = new DeduplicationWindow(events)
  const fromOffset = Math.max(0, log.committedEvents - events)
  for await (const found of inspectLog(join(config.DATA_DIR, 'log'), { fromOffset, ...(files && { files }) })) {
    if (found.kind !== 'group') continue
    const { payload } = found.group
    scanner.scan(payload, 'lines', ({ places, head: first, texts, base }) => {
      for (let text = 0, head = first; text < texts; text++, head = nextHead(places, head)) {
        const identity = identityOfReceived(payload, base, places, head)
        if (identity !== undefined) window.add(identity)
      }
    })
  }
  return window
}

/** The log of the dead letters of `sink`. */
export function openDeadLetters(config: Config, sink: string, observer: LogObserver): Promise<Log> {
  if (config.LOG_ENGINE === 'embedded') {
    return openFiles(config, join('dead-letters', sink), config.DEAD_LETTER_MAX_BYTES, observer)
  }
  // Dead letters are few and stay in order: one partition, which any process may replay.
  const topic = { name: deadLetterTopic(config, sink), partitions: 1, shared: false }
  // A dead letter is larger than its event: it adds the reason, and JSON escapes the text.
  return openTopic(config, { ...topic, maxBatchBytes: MAX_LETTER_GROWTH * config.MAX_BODY_BYTES }, observer)
}

function openFiles(
  config: Config,
  name: string,
  maxBytes: number,
  observer: LogObserver,
  keepEvents = 0,
): Promise<EmbeddedLog> {
  return EmbeddedLog.open({
    directory: join(config.DATA_DIR, name),
    maxBytes,
    segmentBytes: Math.min(config.LOG_SEGMENT_BYTES, Math.floor(maxBytes / 4)),
    retentionMs: config.LOG_RETENTION_MS,
    keepEvents,
    observer,
  })
}

/** Loads the Kafka engine only when it is used: the client takes 60 MB and a third of a second. */
async function openTopic(
  config: Config,
  topic: {
    readonly name: string
    readonly partitions: number
    readonly shared: boolean
    readonly maxBatchBytes?: number
  },
  observer: LogObserver,
): Promise<Log> {
  const { KafkaLog } = await import('./kafka/kafka-log.ts')
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
      maxBatchBytes: topic.maxBatchBytes,
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
