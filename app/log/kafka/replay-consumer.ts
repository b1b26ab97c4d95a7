/**
 * A consumer that reads all partitions by itself, on demand. It is for dead letters, which any process may replay. Its
 * offsets belong to a group without members. Two replays at the same time can repeat dead letters, but never lose any.
 */
import { type Admin, Consumer as Client, ListOffsetTimestamps } from '@platformatic/kafka'
import type { Consumer, Group, Position, Settled } from '../log.ts'
import { clientOptions, surviveErrors } from './connection.ts'
import { Fetcher } from './fetcher.ts'
import type { ConsumerOptions } from './group-consumer.ts'
import { Offsets } from './offsets.ts'
import { patiently, reasonOf } from './topic.ts'

const LAG_EVERY_MS = 2000

export class ReplayConsumer implements Consumer {
  readonly name: string
  onRevoke: undefined
  readonly #options: ConsumerOptions
  readonly #admin: Admin
  readonly #client: Client
  readonly #places = new Offsets()
  readonly #lagTimer: NodeJS.Timeout
  #fetcher: Fetcher | undefined
  #measureFailure: string | undefined
  #closed = false

  private constructor(options: ConsumerOptions, admin: Admin) {
    this.#options = options
    this.#admin = admin
    this.name = options.name
    this.#client = new Client({
      ...clientOptions(options.connection, `replay-${options.name}`),
      groupId: options.groupId,
    })
    this.#client.topics.track(options.topic.name)
    surviveErrors(this.#client)
    this.#lagTimer = setInterval(() => void this.#measureAgain(), LAG_EVERY_MS).unref()
  }

  /** @throws MillraceError LOG_UNAVAILABLE when the brokers do not answer where the last replay ended. */
  static async open(options: ConsumerOptions, admin: Admin): Promise<ReplayConsumer> {
    const consumer = new ReplayConsumer(options, admin)
    try {
      await patiently(() => consumer.#measure())
    } catch (error) {
      await consumer.close()
      throw error
    }
    return consumer
  }

  get settled(): Settled {
    return this.#places.settled
  }

  get lagEvents(): number {
    return this.#places.lagEvents
  }

  get failure(): string | undefined {
    return this.#measureFailure ?? this.#fetcher?.failure
  }

  get readErrors(): number {
    return this.#fetcher?.errors ?? 0
  }

  get oldestAppendedAtMs(): number | undefined {
    return this.#places.oldestAppendedAtMs
  }

  committedOffset(partition: number): number {
    return this.#places.committed(partition)
  }

  async read(signal: AbortSignal): Promise<Group | undefined> {
    this.#fetcher ??= this.#startFetching()
    return this.#fetcher.next(signal)
  }

  async commit(positions: readonly Position[]): Promise<void> {
    const ahead = this.#places.ahead(positions)
    if (ahead.length === 0) return
    const partitionOffsets = ahead.map(({ partition, offset }) => ({ partition, offset: BigInt(offset) }))
    const { groupId, topic } = this.#options
    await this.#admin.alterConsumerGroupOffsets({ groupId, topics: [{ name: topic.name, partitionOffsets }] })
    this.#places.commit(ahead)
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    this.#options.onClose(this)
    clearInterval(this.#lagTimer)
    this.#fetcher?.close()
    await this.#client.close(true).catch(() => undefined)
  }

  #startFetching(): Fetcher {
    const fetcher = new Fetcher({
      client: this.#client,
      topic: this.#options.topic,
      onOutOfRange: async (partition) => (await this.#ends(ListOffsetTimestamps.EARLIEST))[partition] ?? 0,
      onHighWatermark: (partition, offset) => this.#places.reached(partition, offset),
    })
    for (const partition of this.#places.partitions) fetcher.add(partition, this.#places.committed(partition))
    return fetcher
  }

  async #measureAgain(): Promise<void> {
    try {
      await this.#measure()
      this.#measureFailure = undefined
    } catch (error) {
      this.#measureFailure = `the brokers do not say how many dead letters wait (${reasonOf(error)})`
    }
  }

  /** Reads where the last replay ended, in this or another process, and where the topic ends now. */
  async #measure(): Promise<void> {
    const { groupId, topic } = this.#options
    const partitions = Array.from({ length: topic.partitions }, (_, partition) => partition)
    const [group] = await this.#admin.listConsumerGroupOffsets({
      groups: [{ groupId, topics: [{ name: topic.name, partitionIndexes: partitions }] }],
    })
    const [first, end] = [
      await this.#ends(ListOffsetTimestamps.EARLIEST),
      await this.#ends(ListOffsetTimestamps.LATEST),
    ]
    const committed = new Map(
      group?.topics.flatMap(({ partitions }) =>
        partitions.map((at) => [at.partitionIndex, Number(at.committedOffset)]),
      ),
    )
    for (const partition of partitions) {
      const offset = Math.max(committed.get(partition) ?? 0, first[partition] ?? 0)
      if (!this.#fetcher && this.#places.committed(partition) !== offset) this.#places.remove(partition)
      if (!this.#places.has(partition)) this.#places.add(partition, offset)
      const known = end[partition]
      if (known !== undefined) this.#places.reached(partition, known)
    }
  }

  async #ends(timestamp: bigint): Promise<number[]> {
    const { name } = this.#options.topic
    return ((await this.#client.listOffsets({ topics: [name], timestamp })).get(name) ?? []).map(Number)
  }
}
