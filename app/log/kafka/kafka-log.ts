/**
 * The log in Kafka: one record an event, its key from the event, its value the bytes that came in.
 *
 *     append ─▶ split by partition ─▶ one produce a partition, all at once, acks=all ─▶ durable, or lost with a reason
 *
 * Constraints it holds:
 *  - acknowledged means on `min.insync.replicas` brokers; the topic is checked for that before the first write;
 *  - the producer is idempotent and has one request a partition in flight: a retry neither doubles nor reorders;
 *  - an event that one partition took is not sent again because another partition failed;
 *  - no linger: what queued up while the last round was under way is the next one.
 *
 * A round ends when its slowest partition has answered. While a leader is being elected that is a stall of all writes,
 * bounded by the retries of one request; meanwhile the channel fills and then refuses, as in front of a slow disk.
 */
import { Admin, findErrorBy, type MessageToProduce, ProduceAcks, Producer } from '@platformatic/kafka'
import { MillraceError } from '../../errors.ts'
import { type Batch, type Consumer, type Log, type LogObserver, type Lost, NOTHING_LOST } from '../log.ts'
import { clientOptions, type KafkaConnection } from './connection.ts'
import { GroupConsumer } from './group-consumer.ts'
import { Partitioner } from './partitioner.ts'
import { ReplayConsumer } from './replay-consumer.ts'
import { reasonOf, requireTopic, type Topic, type TopicRequirements } from './topic.ts'

export interface KafkaLogOptions {
  readonly connection: KafkaConnection
  readonly topic: TopicRequirements
  /** Consumer groups are named `<groupPrefix>.<consumer>`. */
  readonly groupPrefix: string
  /** Whether processes share the partitions of a consumer (a group), or each reads all of them on demand. */
  readonly shared: boolean
  readonly observer?: LogObserver
}

/** Of a record beside its key and value, and of a batch: varints and headers, at most. */
const RECORD_OVERHEAD_BYTES = 32
const BATCH_OVERHEAD_BYTES = 512
const PROBE_EVERY_MS = 2000
const NEWLINE = 0x0a

/** The part of an append that goes to one partition. */
interface Share {
  readonly messages: MessageToProduce[]
  /** Of each message, the batch it came from and its place there, one after the other. */
  readonly origins: number[]
  /** Where the messages of the next request begin, so that none is larger than the brokers take. */
  readonly cuts: number[]
  bytes: number
}

export class KafkaLog implements Log {
  readonly keyed = true
  /** The topic keeps events by age, whoever has read them. */
  readonly idleConsumers: readonly string[] = []
  /** Of other machines: nothing here fills up. */
  readonly sizeBytes = 0
  readonly fill = 0
  readonly #options: KafkaLogOptions
  readonly #topic: Topic
  readonly #admin: Admin
  readonly #producer: Producer
  readonly #partitioner: Partitioner
  readonly #consumers = new Set<Consumer>()
  readonly #probing: NodeJS.Timeout
  #committedEvents = 0
  #failure: MillraceError | undefined
  #closed = false

  private constructor(options: KafkaLogOptions, topic: Topic, admin: Admin) {
    this.#options = options
    this.#topic = topic
    this.#admin = admin
    this.#producer = new Producer({
      ...clientOptions(options.connection, 'producer'),
      acks: ProduceAcks.ALL,
      idempotent: true,
    })
    this.#partitioner = new Partitioner(topic.partitions)
    this.#probing = setInterval(() => this.#probe(), PROBE_EVERY_MS).unref()
  }

  /** @throws MillraceError CONFIG_INVALID, LOG_UNAVAILABLE: see {@link requireTopic}. */
  static async open(options: KafkaLogOptions): Promise<KafkaLog> {
    const admin = new Admin(clientOptions(options.connection, 'admin'))
    try {
      return new KafkaLog(options, await requireTopic(admin, options.topic), admin)
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
    const lost: Lost[] = []
    const shares = this.#split(batches, lost)
    const startedAt = performance.now()
    const results = await Promise.all([...shares.values()].map((share) => this.#produce(share)))
    for (const result of results) lost.push(...result)
    const events = batches.reduce((sum, { count }) => sum + count, 0)
    this.#committedEvents += events - lost.length
    const [first] = lost
    if (first === undefined) {
      this.#options.observer?.onSync?.(performance.now() - startedAt, events)
      return NOTHING_LOST
    }
    if (lost.length === events) throw first.error
    return lost
  }

  async consumer(name: string): Promise<Consumer> {
    const { connection, groupPrefix, shared, observer } = this.#options
    const options = { connection, topic: this.#topic, name, groupId: `${groupPrefix}.${name}`, observer }
    const consumer = shared ? await GroupConsumer.join(options) : await ReplayConsumer.open(options, this.#admin)
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

  /** Events that no batch of the topic can hold are lost at once: they can never succeed. */
  #split(batches: readonly Batch[], lost: Lost[]): Map<number, Share> {
    const limit = this.#topic.maxBatchBytes - BATCH_OVERHEAD_BYTES
    const timestamp = BigInt(Date.now())
    const shares = new Map<number, Share>()
    for (const [batch, { payload, count, keys }] of batches.entries()) {
      for (let index = 0, at = 0; index < count; index++) {
        const newline = index === count - 1 ? payload.length : payload.indexOf(NEWLINE, at)
        const value = payload.subarray(at, newline)
        at = newline + 1
        const { key, partition } = this.#partitioner.place(keys?.[index])
        const bytes = value.length + (key?.length ?? 0) + RECORD_OVERHEAD_BYTES
        if (bytes > limit) {
          lost.push({ batch, index, error: this.#tooLarge(value.length) })
          continue
        }
        let share = shares.get(partition)
        if (share === undefined) {
          share = { messages: [], origins: [], cuts: [], bytes: 0 }
          shares.set(partition, share)
        }
        if (share.bytes + bytes > limit) {
          share.cuts.push(share.messages.length)
          share.bytes = 0
        }
        share.bytes += bytes
        share.messages.push({ topic: this.#topic.name, partition, value, timestamp, ...(key && { key }) })
        share.origins.push(batch, index)
      }
    }
    return shares
  }

  /** One request after the other, so that order per key holds; after a failure the rest is not tried. */
  async #produce({ messages, origins, cuts }: Share): Promise<Lost[]> {
    let from = 0
    for (const to of [...cuts, messages.length]) {
      try {
        await this.#producer.send({
          messages: from === 0 && to === messages.length ? messages : messages.slice(from, to),
        })
        this.#failure = undefined
      } catch (cause) {
        const error = this.#refused(cause)
        return messages.slice(from).map((_, at) => ({
          batch: origins[2 * (from + at)] as number,
          index: origins[2 * (from + at) + 1] as number,
          error,
        }))
      }
      from = to
    }
    return []
  }

  #tooLarge(bytes: number): MillraceError {
    const limit = this.#topic.maxBatchBytes
    return new MillraceError('BODY_TOO_LARGE', `an event of ${bytes} bytes; topic ${this.#topic.name} takes ${limit}`)
  }

  #refused(cause: unknown): MillraceError {
    if (
      findErrorBy(cause as Error, 'apiId', 'MESSAGE_TOO_LARGE') ||
      findErrorBy(cause as Error, 'apiId', 'RECORD_LIST_TOO_LARGE')
    ) {
      return new MillraceError('BODY_TOO_LARGE', `the brokers take no batch this large (${reasonOf(cause)})`, { cause })
    }
    return new MillraceError('LOG_UNAVAILABLE', `Kafka did not confirm it (${reasonOf(cause)}): try again`, { cause })
  }

  /** Readiness is that the brokers answer. */
  async #probe(): Promise<void> {
    try {
      await this.#admin.metadata({ topics: [this.#topic.name], forceUpdate: true, retries: 0 })
      this.#failure = undefined
    } catch (cause) {
      if (this.#closed) return
      const message = `Kafka does not answer (${reasonOf(cause)}): check KAFKA_BROKERS and the brokers`
      this.#failure = new MillraceError('LOG_UNAVAILABLE', message, { cause })
    }
  }
}
