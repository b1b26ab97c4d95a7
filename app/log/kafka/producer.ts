/**
 * An idempotent producer that reports the outcome of each partition.
 *
 *     batches by partition ─▶ one request to each leader, acks=all ─▶ confirmed
 *                                  ▲          └ failed: wait, find the leader again, send the same batch again
 *                                  └──────────────┘
 *
 * The producer of @platformatic/kafka does not fit, for three reasons. It reports only whether a whole send succeeded.
 * It sends everything that one broker refused to the leader of the first partition. And it takes a new identity after
 * each failure, so that events which may have been written are written twice.
 *
 * Here a batch keeps its sequence number until it is confirmed or given up, so that brokers recognise a repeat
 * (KIP-98). A confirmed partition is not sent again. There is one call of `send` at a time, so each partition has one
 * batch in flight, and retries keep the order.
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
  /** Client that finds the leaders. */
  readonly admin: Admin
  readonly topic: string
  /** How long a batch is retried before it is given up, milliseconds. */
  readonly writeTimeoutMs: number
}

/** The error of one partition: the broker's answer, or why there was no answer. */
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

/** The brokers have lost the state of this producer, or part of it: it starts again with a new identity. */
const STATE_LOST = new Set(['UNKNOWN_PRODUCER_ID', 'OUT_OF_ORDER_SEQUENCE_NUMBER', 'INVALID_PRODUCER_EPOCH'])
const RETRYABLE = new Set([...STATE_LOST, 'UNKNOWN_TOPIC_OR_PARTITION', 'REQUEST_TIMED_OUT'])
/** Sequence numbers wrap to 0 at this value (Kafka: DefaultRecordBatch.incrementSequence). */
const SEQUENCES = 2 ** 31
const RETRY_BASE_MS = 20
const RETRY_MAX_MS = 500

interface Identity {
  readonly producerId: bigint
  readonly producerEpoch: number
}

type ProduceResponse = ReturnType<typeof produceV9.parseResponse>

/** Protocol versions, newest first. Kafka before 2.8, and some compatible brokers, know only the older ones. */
const VERSIONS = [
  { produce: produceV9.api, initProducerId: initProducerIdV4.api, version: 9 },
  { produce: produceV7.api, initProducerId: initProducerIdV1.api, version: 7 },
]

export class IdempotentProducer {
  readonly #options: ProducerOptions
  readonly #pool: ConnectionPool
  /** Requested once for all leaders: brokers recognise repeats only within one producer identity. */
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
   * @returns the partitions given up, with the last error; their events may have been written anyway.
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
    // A batch that was given up may still arrive. With the same numbers, the next batch would count as its repeat.
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

  /** The outcome of each batch: undefined when confirmed, else the error. */
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

/** Calls `forget` when the request fails, so that the next attempt asks again. */
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
