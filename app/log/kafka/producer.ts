/**
 * An idempotent producer that says of each partition what became of it.
 *
 *     batches by partition ─▶ one request to each leader, acks=all ─▶ confirmed
 *                                  ▲          └ not yet: wait, look for the leader again, the same batch again
 *                                  └──────────────┘
 *
 * The producer of @platformatic/kafka tells only whether a whole send succeeded, sends what one broker refused as a
 * whole to the leader of its first partition, and takes a new identity after each failure, so that what may have been
 * written is written again. Here a batch keeps its sequence number until it is confirmed or given up, so that brokers
 * recognise a repeat (KIP-98), and a partition that is confirmed is not sent again.
 *
 * One call of `send` at a time, so one batch a partition in flight: order holds whatever is repeated.
 */
import {
  type Admin,
  ConnectionPool,
  initProducerIdV1,
  initProducerIdV4,
  type MessageRecord,
  NumericMap,
  ProduceAcks,
  produceV7,
  produceV9,
  protocolErrors,
  protocolErrorsCodesById,
} from '@platformatic/kafka'
import { clientOptions, type KafkaConnection, surviveErrors } from './connection.ts'

export interface ProducerOptions {
  readonly connection: KafkaConnection
  /** Asked for leaders. */
  readonly admin: Admin
  readonly topic: string
  /** How long a batch is tried before it is given up, milliseconds. */
  readonly writeTimeoutMs: number
}

/** What a broker said of one partition, or why nobody said anything. */
export class ProduceError extends Error {
  /** Kafka's name for it, or undefined when no broker answered. */
  readonly apiId: string | undefined
  readonly retryable: boolean

  constructor(apiId: string | undefined, options: { message?: string; cause?: unknown } = {}) {
    super(options.message ?? apiId, { cause: options.cause })
    this.apiId = apiId
    this.retryable = apiId === undefined || RETRYABLE.has(apiId) || protocolErrors[apiId]?.canRetry === true
  }
}

/** The brokers do not know this producer, or not this far: it starts again, with another identity. */
const STATE_LOST = new Set(['UNKNOWN_PRODUCER_ID', 'OUT_OF_ORDER_SEQUENCE_NUMBER', 'INVALID_PRODUCER_EPOCH'])
const RETRYABLE = new Set([...STATE_LOST, 'UNKNOWN_TOPIC_OR_PARTITION', 'REQUEST_TIMED_OUT'])
/** They begin again at 0 (Kafka: DefaultRecordBatch.incrementSequence). */
const SEQUENCES = 2 ** 31
const RETRY_BASE_MS = 20
const RETRY_MAX_MS = 500

interface Identity {
  readonly producerId: bigint
  readonly producerEpoch: number
}

type ProduceResponse = ReturnType<typeof produceV9.parseResponse>

/** Since Kafka 2.8; before that, and in some that speak its protocol, the older ones. */
const VERSIONS = [
  { produce: produceV9.api, initProducerId: initProducerIdV4.api, version: 9 },
  { produce: produceV7.api, initProducerId: initProducerIdV1.api, version: 7 },
]

export class IdempotentProducer {
  readonly #options: ProducerOptions
  readonly #pool: ConnectionPool
  /** Asked for once, however many leaders are written to at the same time: brokers tell repeats of one producer only. */
  #identity: Promise<Identity> | undefined
  /** Number of the next record of each partition. */
  readonly #sequences = new Map<number, number>()
  #apis: Promise<(typeof VERSIONS)[number]> | undefined

  constructor(options: ProducerOptions) {
    this.#options = options
    this.#pool = new ConnectionPool('millrace-producer', clientOptions(options.connection, 'producer'))
    surviveErrors({ connections: this.#pool })
  }

  /**
   * Resolves when every batch is confirmed or given up.
   * @returns those given up, with the last reason; they may have been written nevertheless.
   */
  async send(batches: ReadonlyMap<number, MessageRecord[]>): Promise<Map<number, ProduceError>> {
    const deadline = performance.now() + this.#options.writeTimeoutMs
    const open = new Map(batches)
    const failures = new Map<number, ProduceError>()
    for (let attempt = 0; open.size > 0; attempt++) {
      if (attempt > 0) await pause(Math.min(RETRY_MAX_MS, RETRY_BASE_MS * 2 ** attempt))
      for (const [partition, error] of await this.#attempt(open, attempt > 0)) {
        const batch = open.get(partition)
        if (error === undefined || error.apiId === 'DUPLICATE_SEQUENCE_NUMBER') {
          const next = (this.#sequences.get(partition) ?? 0) + (batch?.length ?? 0)
          this.#sequences.set(partition, next % SEQUENCES)
          open.delete(partition)
        } else if (!error.retryable || performance.now() > deadline) {
          failures.set(partition, error)
          open.delete(partition)
        } else if (STATE_LOST.has(error.apiId ?? '')) this.#forget()
      }
    }
    // What was given up may still arrive: with these numbers, the next batch would be taken for its repeat.
    if (failures.size > 0) this.#forget()
    return failures
  }

  async close(): Promise<void> {
    await this.#pool.close()
  }

  #forget(): void {
    this.#identity = undefined
    this.#sequences.clear()
  }

  /** What became of each batch: confirmed (undefined), or not. */
  async #attempt(
    batches: ReadonlyMap<number, MessageRecord[]>,
    again: boolean,
  ): Promise<Map<number, ProduceError | undefined>> {
    const outcomes = new Map<number, ProduceError | undefined>()
    const { admin, topic } = this.#options
    try {
      const metadata = await admin.metadata({ topics: [topic], forceUpdate: again, retries: 1 })
      const known = metadata.topics.get(topic)?.partitions ?? []
      const byLeader = Map.groupBy(batches.keys(), (partition) => known[partition]?.leader ?? -1)
      const requests = [...byLeader].map(async ([leader, partitions]) => {
        const broker = metadata.brokers.get(leader)
        if (broker === undefined) {
          for (const partition of partitions) outcomes.set(partition, new ProduceError('LEADER_NOT_AVAILABLE'))
          return
        }
        try {
          const connection = await this.#pool.get(broker)
          const messages = partitions.flatMap((partition) => batches.get(partition) ?? [])
          const response = await this.#produce(connection, messages, partitions)
          for (const partition of partitions) outcomes.set(partition, outcomeOf(response, partition))
        } catch (cause) {
          for (const partition of partitions) outcomes.set(partition, new ProduceError(undefined, { cause }))
        }
      })
      await Promise.all(requests)
    } catch (cause) {
      for (const partition of batches.keys()) outcomes.set(partition, new ProduceError(undefined, { cause }))
    }
    return outcomes
  }

  async #produce(
    connection: Awaited<ReturnType<ConnectionPool['get']>>,
    messages: MessageRecord[],
    partitions: readonly number[],
  ): Promise<ProduceResponse> {
    const { topic, connection: options } = this.#options
    this.#apis ??= unlessFailed(this.#negotiate(), () => {
      this.#apis = undefined
    })
    const apis = await this.#apis
    this.#identity ??= unlessFailed(this.#identify(connection, apis), () => {
      this.#identity = undefined
    })
    const identity = await this.#identity
    const sequences = new NumericMap()
    for (const partition of partitions) sequences.set(`${topic}:${partition}`, this.#sequences.get(partition) ?? 0)
    try {
      return (await apis.produce.async(connection, ProduceAcks.ALL, options.requestTimeoutMs, messages, {
        ...identity,
        sequences,
        compression: 'none',
      })) as ProduceResponse
    } catch (error) {
      // The client throws when any partition failed; the answer has all of them.
      const response = (error as { response?: ProduceResponse }).response
      if (response?.responses === undefined) throw error
      return response
    }
  }

  async #identify(
    connection: Awaited<ReturnType<ConnectionPool['get']>>,
    { initProducerId }: (typeof VERSIONS)[number],
  ): Promise<Identity> {
    const { producerId, producerEpoch } = await initProducerId.async(connection, null, 0)
    return { producerId, producerEpoch }
  }

  async #negotiate() {
    const produce = (await this.#options.admin.listApis()).find(({ name }) => name === 'Produce')
    const found = VERSIONS.find(({ version }) => version <= (produce?.maxVersion ?? 0))
    if (found === undefined)
      throw new Error('the brokers are older than any that Millrace knows: use Kafka 2.1 or newer')
    return found
  }
}

/** A failure is not kept: the next attempt asks again. */
async function unlessFailed<T>(asked: Promise<T>, forget: () => void): Promise<T> {
  try {
    return await asked
  } catch (error) {
    forget()
    throw error
  }
}

function outcomeOf({ responses }: ProduceResponse, partition: number): ProduceError | undefined {
  const answer = responses
    .flatMap(({ partitionResponses }) => partitionResponses)
    .find(({ index }) => index === partition)
  if (answer === undefined) return new ProduceError(undefined, { message: 'the broker said nothing of this partition' })
  if (answer.errorCode === 0) return undefined
  return new ProduceError(protocolErrorsCodesById[answer.errorCode] ?? `error ${answer.errorCode}`)
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
