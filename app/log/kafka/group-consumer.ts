/**
 * A consumer whose partitions are shared with the same consumer of other processes (a consumer group).
 *
 *     join ─▶ partitions added ─▶ fetch from their committed offsets ─▶ read()
 *               └ revoked ─▶ onRevoke: settle and commit ─▶ join again without them (cooperative-sticky)
 *
 * Commits use a second client, which never joins the group by itself: if a commit fails because the group has a new
 * generation, only the caller retries it. It commits with the id and generation of the member, and needs nothing else.
 */
import { Consumer as Client, ListOffsetTimestamps } from '@platformatic/kafka'
import type { Consumer, Group, LogObserver, Position, Settled } from '../log.ts'
import { clientOptions, type KafkaConnection, surviveErrors } from './connection.ts'
import { Fetcher } from './fetcher.ts'
import { Offsets } from './offsets.ts'
import { reasonOf, type Topic } from './topic.ts'

export interface ConsumerOptions {
  readonly connection: KafkaConnection
  readonly topic: Topic
  readonly name: string
  readonly groupId: string
  readonly observer: LogObserver | undefined
  readonly onClose: (consumer: Consumer) => void
}

/** After this time, the group notices that a process was killed, and the others get its partitions. */
const SESSION_TIMEOUT_MS = 10_000
const HEARTBEAT_MS = 1000
/** Time for `onRevoke` in every member, with a margin. */
const REBALANCE_TIMEOUT_MS = 30_000
const LAG_EVERY_MS = 1000
const PAUSE_AFTER_ERROR_MS = 500
const FIRST_AGE_MS = 1000
/** Longer than any topic keeps events: the limit of KAFKA_RETENTION_MS is 3,650 days. */
const LAST_AGE_MS = 2 ** 39

export class GroupConsumer implements Consumer {
  readonly name: string
  onRevoke: ((partitions: readonly number[]) => Promise<void>) | undefined
  readonly #options: ConsumerOptions
  readonly #member: Client
  readonly #offsets: Client
  readonly #fetching: Client
  readonly #fetcher: Fetcher
  readonly #places = new Offsets()
  readonly #lagTimer: NodeJS.Timeout
  #joining: NodeJS.Timeout | undefined
  /** Why this process is not in its group; why offsets cannot be read. */
  #joinFailure: string | undefined
  #offsetsFailure: string | undefined
  #errors = 0
  #closed = false

  private constructor(options: ConsumerOptions) {
    const { connection, topic, name, groupId } = options
    this.#options = options
    this.name = name
    this.#member = new Client({
      ...clientOptions(connection, `member-${name}`),
      groupId,
      autocommit: false,
      sessionTimeout: SESSION_TIMEOUT_MS,
      heartbeatInterval: HEARTBEAT_MS,
      rebalanceTimeout: REBALANCE_TIMEOUT_MS,
      protocols: [{ name: 'cooperative-sticky', version: 3 }],
      protocolsMetadata: async () => {
        await this.#giveAway()
        return Buffer.alloc(0)
      },
    })
    // No retries: before a retry, the client would join the group by itself.
    this.#offsets = new Client({ ...clientOptions(connection, `offsets-${name}`), groupId, retries: 0 })
    this.#fetching = new Client({ ...clientOptions(connection, `fetch-${name}`), groupId, retries: 1 })
    this.#fetcher = new Fetcher({
      client: this.#fetching,
      topic,
      onOutOfRange: (partition, offset) => this.#skip(partition, offset),
      onHighWatermark: (partition, offset) => this.#places.reached(partition, offset),
    })
    for (const client of [this.#member, this.#offsets]) client.topics.track(topic.name)
    for (const client of [this.#member, this.#offsets, this.#fetching]) surviveErrors(client)
    this.#member.on('consumer:group:join', () => {
      this.#joinFailure = undefined
      void this.#takeOver()
    })
    // The client stopped trying to join, but the group still exists.
    this.#member.on('error', (error: Error) => this.#joinAgain(error))
    this.#lagTimer = setInterval(() => void this.#measureLag(), LAG_EVERY_MS).unref()
  }

  /**
   * Starts to join and does not wait for partitions: while another member is missing, the group accepts no new member
   * until the session of the missing one has expired.
   */
  static join(options: ConsumerOptions): GroupConsumer {
    const consumer = new GroupConsumer(options)
    void consumer.#join()
    return consumer
  }

  get settled(): Settled {
    return this.#places.settled
  }

  get lagEvents(): number {
    return this.#places.lagEvents
  }

  get failure(): string | undefined {
    return this.#joinFailure ?? this.#offsetsFailure ?? this.#fetcher.failure
  }

  get readErrors(): number {
    return this.#errors + this.#fetcher.errors
  }

  get oldestAppendedAtMs(): number | undefined {
    return this.#places.oldestAppendedAtMs
  }

  committedOffset(partition: number): number {
    return this.#places.committed(partition)
  }

  async read(signal: AbortSignal): Promise<Group | undefined> {
    const group = await this.#fetcher.next(signal)
    if (group) this.#places.noteAppended(group.partition, group.baseOffset, group.appendedAtMs)
    return group
  }

  async commit(positions: readonly Position[]): Promise<void> {
    const ahead = this.#places.ahead(positions)
    if (ahead.length === 0) return
    const topic = this.#options.topic.name
    if (this.#member.memberId === null) throw new Error('this process is not in the group at the moment')
    this.#offsets.memberId = this.#member.memberId
    this.#offsets.generationId = this.#member.generationId
    await this.#offsets.commit({
      offsets: ahead.map(({ partition, offset }) => ({ topic, partition, offset: BigInt(offset), leaderEpoch: -1 })),
    })
    this.#places.commit(ahead)
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    this.#options.onClose(this)
    clearInterval(this.#lagTimer)
    clearTimeout(this.#joining)
    this.#fetcher.close()
    // An unreachable broker must not delay our shutdown: the group removes us by itself.
    await Promise.allSettled([this.#member.close(true), this.#fetching.close(true), this.#offsets.close(true)])
  }

  async #join(): Promise<void> {
    try {
      await this.#member.joinGroup({})
    } catch (error) {
      this.#joinAgain(error)
    }
  }

  #joinAgain(error: unknown): void {
    if (this.#closed || this.#joining !== undefined) return
    this.#errors += 1
    const failure = `it is not in its group: ${reasonOf(error)}`
    if (failure !== this.#joinFailure) {
      this.#options.observer?.onWarning?.(`consumer ${this.name} left its group, joining again: ${reasonOf(error)}`)
    }
    this.#joinFailure = failure
    this.#joining = setTimeout(() => {
      this.#joining = undefined
      void this.#join()
    }, PAUSE_AFTER_ERROR_MS)
  }

  get #assigned(): readonly number[] {
    return this.#member.assignments?.find(({ topic }) => topic === this.#options.topic.name)?.partitions ?? []
  }

  /** Called before each (re)join: settles the partitions that the last assignment revoked, before others get them. */
  async #giveAway(): Promise<void> {
    const assigned = this.#assigned
    const revoked = this.#places.partitions.filter((partition) => !assigned.includes(partition))
    if (revoked.length === 0) return
    this.#fetcher.remove(revoked)
    await this.onRevoke?.(revoked)
    for (const partition of revoked) this.#places.remove(partition)
  }

  async #takeOver(): Promise<void> {
    await this.#giveAway()
    const added = this.#assigned.filter((partition) => !this.#places.has(partition))
    if (added.length === 0 || this.#closed) return
    try {
      for (const [partition, offset] of await this.#startOf(added)) {
        if (this.#places.has(partition) || !this.#assigned.includes(partition)) continue
        this.#places.add(partition, offset)
        this.#fetcher.add(partition, offset)
      }
      await this.#measureLag()
    } catch (error) {
      if (this.#closed) return
      this.#errors += 1
      const failure = `it cannot read its offsets: ${reasonOf(error)}`
      if (failure !== this.#offsetsFailure) {
        const what = `consumer ${this.name} cannot read its offsets, trying again: ${reasonOf(error)}`
        this.#options.observer?.onWarning?.(what)
      }
      this.#offsetsFailure = failure
      setTimeout(() => void this.#takeOver(), PAUSE_AFTER_ERROR_MS).unref()
    }
  }

  /** Start offsets: the last commit of the group; in a new group, the first event that the brokers still have. */
  async #startOf(partitions: readonly number[]): Promise<Map<number, number>> {
    const topic = this.#options.topic.name
    const committed = await this.#offsets.listCommittedOffsets({ topics: [{ topic, partitions: [...partitions] }] })
    const first = await this.#ends(partitions, ListOffsetTimestamps.EARLIEST)
    return new Map(
      partitions.map((partition) => {
        const offset = Number(committed.get(topic)?.[partition] ?? -1n)
        return [partition, offset >= 0 ? offset : (first.get(partition) ?? 0)]
      }),
    )
  }

  async #ends(partitions: readonly number[], timestamp: bigint): Promise<Map<number, number>> {
    const topic = this.#options.topic.name
    const options = { topics: [topic], partitions: { [topic]: [...partitions] }, timestamp }
    const listed = (await this.#offsets.listOffsets(options)).get(topic) ?? []
    // A missing end offset must not become 0: the partition would seem to have no lag.
    return new Map(
      partitions.flatMap((partition) => {
        const offset = listed[partition]
        return offset === undefined ? [] : [[partition, Number(offset)] as const]
      }),
    )
  }

  /** Continues at the first event that exists: the next ones were deleted, or the topic was recreated. */
  async #skip(partition: number, offset: number): Promise<number> {
    const [first, end] = await Promise.all(
      [ListOffsetTimestamps.EARLIEST, ListOffsetTimestamps.LATEST].map(async (timestamp) =>
        (await this.#ends([partition], timestamp)).get(partition),
      ),
    )
    if (first === undefined || end === undefined) return offset
    // Another partition of the same request was out of range.
    if (offset >= first && offset <= end) return offset
    const where = `${this.#options.topic.name}, partition ${partition}`
    if (first > offset) {
      this.#places.skip(partition, offset, first)
      this.#options.observer?.onDamage?.({
        segment: where,
        position: offset,
        bytes: 0,
        events: first - offset,
        reason: 'the brokers deleted these events before they were delivered: raise the retention of the topic',
      })
    } else {
      this.#options.observer?.onWarning?.(
        `${where} ends before offset ${offset}: it was recreated, or has lost its end; starting at ${first}`,
      )
      // Offsets now mean other events: discard events that were read ahead, and start delivery again.
      this.#fetcher.remove([partition])
      await this.onRevoke?.([partition])
      this.#places.add(partition, first)
      this.#fetcher.add(partition, first)
    }
    return first
  }

  async #measureLag(): Promise<void> {
    const { partitions } = this.#places
    if (partitions.length === 0 || this.#closed) return
    try {
      const askedAtMs = Date.now()
      const ends = await this.#ends(partitions, ListOffsetTimestamps.LATEST)
      for (const [partition, end] of ends) this.#places.reached(partition, end, askedAtMs)
      await this.#findAges(partitions.filter((partition) => !this.#places.isAgeKnown(partition)))
      this.#offsetsFailure = undefined
    } catch (error) {
      // The last known end stays in use, so the lag is out of date until the next answer.
      this.#errors += 1
      this.#offsetsFailure = `the brokers do not say where the topic ends (${reasonOf(error)})`
    }
  }

  /**
   * Finds the age of events from before this process, in powers of two. Brokers can name the first event after a given
   * time, but not the time of a given event. Reading the events gives their exact time later.
   */
  async #findAges(partitions: readonly number[]): Promise<void> {
    let left = partitions
    for (let ageMs = FIRST_AGE_MS; left.length > 0 && ageMs <= LAST_AGE_MS; ageMs *= 2) {
      const atMs = Date.now() - ageMs
      const firstSince = await this.#ends(left, BigInt(atMs))
      const isOldest = ageMs * 2 > LAST_AGE_MS
      const found = left.filter((partition) => {
        const first = firstSince.get(partition) ?? -1
        return isOldest || (first >= 0 && first <= this.#places.committed(partition))
      })
      for (const partition of found) this.#places.noteAppended(partition, this.#places.committed(partition), atMs)
      left = left.filter((partition) => !found.includes(partition))
    }
  }
}
