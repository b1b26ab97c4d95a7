/**
 * The log in Kafka. One record for each event: its key comes from the event, its value is the complete CloudEvent in
 * structured mode, so that any consumer can read it. See
 * https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/kafka-protocol-binding.md
 *
 *     append ─▶ split by partition ─▶ one batch a partition, all at once, acks=all ─▶ durable, or lost with a reason
 *
 * Constraints:
 *
 * - An acknowledged event is on `min.insync.replicas` brokers. The topic is checked for that before the first write.
 * - The producer is idempotent and has one batch in flight for each partition: a retry neither doubles nor reorders.
 * - An event that one partition has stored is not sent again because another partition failed.
 * - No linger: the events that queued up during one round form the next round.
 *
 * A round ends when its slowest partition has answered. While a leader is being elected, all writes wait, for at most
 * `writeTimeoutMs`. Meanwhile the channel fills and then refuses, as with a slow disk.
 */
import { randomUUID } from 'node:crypto'
import { Admin, type MessageRecord } from '@platformatic/kafka'
import { MillraceError, messageOf } from '../../errors.ts'
import { completeLines } from '../../event/complete.ts'
import { type Batch, Known, type Lost, NOTHING_LOST } from '../../write.ts'
import type { Consumer, Log, LogObserver } from '../log.ts'
import { clientOptions, type KafkaConnection, surviveErrors } from './connection.ts'
import { GroupConsumer } from './group-consumer.ts'
import { Partitioner } from './partitioner.ts'
import { IdempotentProducer, type ProduceError } from './producer.ts'
import { ReplayConsumer } from './replay-consumer.ts'
import { reasonOf, requireTopic, type Topic, type TopicRequirements } from './topic.ts'

export interface KafkaLogOptions {
  readonly connection: KafkaConnection
  readonly topic: TopicRequirements
  /** How long a write is retried before it is refused, milliseconds. */
  readonly writeTimeoutMs: number
  /** Consumer groups are named `<groupPrefix>.<consumer>`. */
  readonly groupPrefix: string
  /** True: processes share the partitions of a consumer (a group). False: each reads all of them (dead letters). */
  readonly shared: boolean
  readonly observer?: LogObserver
}

/** Upper limit for the overhead of a record (without key and value) and of a batch: varints and headers. */
const RECORD_OVERHEAD_BYTES = 96
const HEADERS = {
  event: new Map([[Buffer.from('content-type'), Buffer.from('application/cloudevents+json; charset=utf-8')]]),
  deadLetter: new Map([[Buffer.from('content-type'), Buffer.from('application/json')]]),
}
const BATCH_OVERHEAD_BYTES = 512
const PROBE_EVERY_MS = 2000
const NEWLINE = 0x0a

/** The part of an append that goes to one partition in one request. */
interface Share {
  readonly messages: MessageRecord[]
  /** For each message, two numbers: its batch, and its place in that batch. */
  readonly origins: number[]
  bytes: number
}

/** Partition → its share. */
type Round = Map<number, Share>

export class KafkaLog implements Log {
  readonly keyed = true
  /** Empty: the topic keeps events by age, whether or not consumers have read them. */
  readonly idleConsumers: readonly string[] = []
  /** 0: the events are on other machines. */
  readonly sizeBytes = 0
  readonly fill = 0
  readonly #options: KafkaLogOptions
  readonly #topic: Topic
  readonly #admin: Admin
  readonly #producer: IdempotentProducer
  readonly #partitioner: Partitioner
  readonly #consumers = new Set<Consumer>()
  readonly #probing: NodeJS.Timeout
  /** Prefix of the ids of events without an id. Their offsets are not known before the write. */
  readonly #idPrefix = randomUUID()
  #idNumber = 0
  #committedEvents = 0
  #failure: MillraceError | undefined
  #closed = false

  private constructor(options: KafkaLogOptions, topic: Topic, admin: Admin) {
    this.#options = options
    this.#topic = topic
    this.#admin = admin
    const { connection, writeTimeoutMs } = options
    this.#producer = new IdempotentProducer({ connection, admin, topic: topic.name, writeTimeoutMs })
    this.#partitioner = new Partitioner(topic.partitions)
    this.#probing = setInterval(() => this.#probe(), PROBE_EVERY_MS).unref()
  }

  /** @throws MillraceError CONFIG_INVALID, LOG_UNAVAILABLE: see {@link requireTopic}. */
  static async open(options: KafkaLogOptions): Promise<KafkaLog> {
    // Few retries: a start should report a problem soon, and a supervisor tries again.
    const admin = new Admin({ ...clientOptions(options.connection, 'admin'), retries: 2 })
    surviveErrors(admin)
    try {
      const topic = await requireTopic(admin, options.topic)
      const { maxBatchBytes = 0 } = options.topic
      if (topic.maxBatchBytes < maxBatchBytes) {
        const fix = `kafka-configs.sh --alter --topic ${topic.name} --add-config max.message.bytes=${maxBatchBytes}`
        const effect = `a larger record cannot be written there, and its sink would wait: ${fix}`
        options.observer?.onWarning?.(`topic ${topic.name} takes ${topic.maxBatchBytes} bytes at once: ${effect}`)
      }
      return new KafkaLog(options, topic, admin)
    } catch (error) {
      await admin.close()
      throw error
    }
  }

  get committedEvents(): number {
    return this.#committedEvents
  }

  get failure(): MillraceError | undefined {
    return this.#failure
  }

  async append(batches: readonly Batch[]): Promise<readonly Lost[]> {
    if (this.#closed) throw new MillraceError('LOG_CLOSED', 'the log is closed')
    if (this.#failure?.code === 'LOG_FAILED') throw this.#failure
    const lost: Lost[] = []
    const rounds = this.#split(batches, lost)
    const startedAt = performance.now()
    // More than one round only if a partition gets more than the brokers accept at once. In sequence, to keep order.
    const failed = new Map<number, ProduceError>()
    for (const round of rounds) {
      for (const [partition, share] of round) {
        const error = failed.get(partition)
        if (error === undefined) continue
        round.delete(partition)
        lost.push(...this.#lose(share, error))
      }
      const messages = new Map([...round].map(([partition, share]) => [partition, share.messages]))
      for (const [partition, error] of await this.#producer.send(messages)) {
        failed.set(partition, error)
        lost.push(...this.#lose(round.get(partition), error))
      }
    }
    const events = batches.reduce((sum, { count }) => sum + count, 0)
    this.#committedEvents += events - lost.length
    if (lost.length > 0) return lost
    this.#options.observer?.onSync?.(performance.now() - startedAt, events)
    return NOTHING_LOST
  }

  async consumer(name: string): Promise<Consumer> {
    const { connection, groupPrefix, shared, observer } = this.#options
    const onClose = (consumer: Consumer) => void this.#consumers.delete(consumer)
    const options = { connection, topic: this.#topic, name, groupId: `${groupPrefix}.${name}`, observer, onClose }
    const consumer = shared ? GroupConsumer.join(options) : await ReplayConsumer.open(options, this.#admin)
    this.#consumers.add(consumer)
    return consumer
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    clearInterval(this.#probing)
    await Promise.all([...this.#consumers].map((consumer) => consumer.close()))
    await Promise.all([this.#producer.close(), this.#admin.close()])
  }

  /** Splits batches into rounds. Events that no batch of the topic can hold go to `lost`: they can never succeed. */
  #split(batches: readonly Batch[], lost: Lost[]): Round[] {
    const limit = this.#topic.maxBatchBytes - BATCH_OVERHEAD_BYTES
    const atMs = Date.now()
    const timestamp = BigInt(atMs)
    const headers = this.#options.shared ? HEADERS.event : HEADERS.deadLetter
    const rounds: Round[] = []
    /** Partition → the round that it is filling. */
    const filling = new Map<number, number>()
    for (const [batch, { keys, ...lines }] of batches.entries()) {
      for (const [index, value] of this.#values(lines, atMs).entries()) {
        const { key, partition } = this.#partitioner.place(keys?.[index])
        const bytes = value.length + (key?.length ?? 0) + RECORD_OVERHEAD_BYTES
        if (bytes > limit) {
          lost.push({ batch, index, error: this.#tooLarge(value.length) })
          continue
        }
        let share = rounds[filling.get(partition) ?? 0]?.get(partition)
        if (share === undefined || share.bytes + bytes > limit) {
          const round = share === undefined ? 0 : (filling.get(partition) ?? 0) + 1
          share = { messages: [], origins: [], bytes: 0 }
          rounds[round] ??= new Map()
          rounds[round].set(partition, share)
          filling.set(partition, round)
        }
        share.bytes += bytes
        share.messages.push({ topic: this.#topic.name, partition, value, timestamp, headers, ...(key && { key }) })
        share.origins.push(batch, index)
      }
    }
    return rounds
  }

  #values({ payload, count, known }: Batch, atMs: number): Buffer[] {
    if (this.#options.shared && known !== Known.COMPLETE) {
      const origin = { idPrefix: this.#idPrefix, number: this.#idNumber, time: new Date(atMs).toISOString() }
      this.#idNumber += count
      return completeLines(payload, origin)
    }
    const values: Buffer[] = []
    for (let index = 0, at = 0; index < count; index++) {
      const end = index === count - 1 ? payload.length : payload.indexOf(NEWLINE, at)
      values.push(payload.subarray(at, end))
      at = end + 1
    }
    return values
  }

  #lose(share: Share | undefined, cause: ProduceError): Lost[] {
    if (share === undefined) return []
    const { messages, origins } = share
    const error = this.#refused(cause)
    return messages.map((_, at) => ({
      batch: origins[2 * at] as number,
      index: origins[2 * at + 1] as number,
      error,
    }))
  }

  #tooLarge(bytes: number): MillraceError {
    const limit = this.#topic.maxBatchBytes
    return new MillraceError('BODY_TOO_LARGE', `an event of ${bytes} bytes; topic ${this.#topic.name} takes ${limit}`)
  }

  #refused(cause: ProduceError): MillraceError {
    if (cause.apiId === 'MESSAGE_TOO_LARGE' || cause.apiId === 'RECORD_LIST_TOO_LARGE') {
      return new MillraceError('BODY_TOO_LARGE', 'the brokers take no record this large', { cause })
    }
    return new MillraceError('LOG_UNAVAILABLE', `Kafka did not confirm it (${reasonOf(cause)}): try again`, { cause })
  }

  /** Checks readiness: the brokers answer, and still have the topic with which this log started. */
  async #probe(): Promise<void> {
    const { name, id } = this.#topic
    try {
      const { topics } = await this.#admin.metadata({ topics: [name], forceUpdate: true, retries: 0 })
      if (this.#failure?.code !== 'LOG_FAILED') this.#failure = undefined
      if (topics.get(name)?.id !== id) this.#topicIsGone()
    } catch (cause) {
      if (this.#closed) return
      if (/^Unknown topic/.test(messageOf(cause))) return this.#topicIsGone()
      const message = `Kafka does not answer (${reasonOf(cause)}): check KAFKA_BROKERS and the brokers`
      this.#failure = new MillraceError('LOG_UNAVAILABLE', message, { cause })
    }
  }

  /** A deleted topic takes its offsets and its undelivered events with it: a new topic is another log. */
  #topicIsGone(): void {
    if (this.#failure?.code === 'LOG_FAILED') return
    const message = `topic ${this.#topic.name} was deleted: a restart goes on with a new one`
    this.#failure = new MillraceError('LOG_FAILED', message)
    this.#options.observer?.onFailure?.(this.#failure)
  }
}
