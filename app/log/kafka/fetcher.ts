/**
 * Reads partitions of a topic. It sends one request at a time to each broker and reads ahead as far as the buffer
 * allows.
 *
 *     positions ─▶ fetch from each leader ─▶ groups, in order per partition ─▶ next()
 */
import { type Consumer as Client, protocolErrorsCodesById, type RecordsBatch } from '@platformatic/kafka'
import type { Group } from '../log.ts'
import { reasonOf, type Topic } from './topic.ts'

export interface FetcherOptions {
  /** A client used only here, because its requests wait for events. */
  readonly client: Client
  readonly topic: Topic
  /** Called when the broker no longer has the next event. Returns the offset to continue at. */
  readonly onOutOfRange: (partition: number, offset: number) => Promise<number>
  /** Called with the end of the durable events of a partition, from each fetch. */
  readonly onHighWatermark: (partition: number, offset: number) => void
}

/** Limit of the events that are read ahead; one answer can exceed it. */
const BUFFER_BYTES = 8 * 1024 * 1024
const FETCH_BYTES = 4 * 1024 * 1024
const PARTITION_BYTES = 1024 * 1024
/** How long a broker holds a request open when there is nothing new. */
const WAIT_MS = 500
const PAUSE_AFTER_ERROR_MS = 200
/** Attribute bit that marks control records of Kafka (Kafka protocol, record batch). */
const CONTROL = 0x20
/** The latest time that a Date can hold (ECMA-262, section 21.4.1.1). */
const MAX_DATE_MS = 8_640_000_000_000_000n
const NEWLINE = 0x0a
const SPACE = 0x20

export class Fetcher {
  readonly #options: FetcherOptions
  /** Offset to fetch next. */
  readonly #positions = new Map<number, number>()
  readonly #busyNodes = new Set<number>()
  /** Partitions that cannot be read now, and why. */
  readonly #problems = new Map<number, string>()
  /** Brokers that are asked for one partition at a time, and how many such requests they got. */
  readonly #oneByOne = new Map<number, number>()
  #askFailure: string | undefined
  #errors = 0
  #groups: Group[] = []
  #bytes = 0
  #closed = false
  #paused = false
  #wake: (() => void) | undefined

  constructor(options: FetcherOptions) {
    this.#options = options
    options.client.topics.track(options.topic.name)
  }

  add(partition: number, offset: number): void {
    this.#positions.set(partition, offset)
    this.#fill()
  }

  /** Number of fetches with an error: a partition could not be read, or no answer came. */
  get errors(): number {
    return this.#errors
  }

  /** Stops reading these partitions, and drops events that were read ahead. */
  remove(partitions: readonly number[]): void {
    for (const partition of partitions) {
      this.#positions.delete(partition)
      this.#problems.delete(partition)
    }
    this.#groups = this.#groups.filter(({ partition }) => this.#positions.has(partition))
    this.#bytes = this.#groups.reduce((sum, { payload }) => sum + payload.length, 0)
  }

  /** Waits for the next group; undefined once `signal` is aborted or the fetcher is closed. */
  async next(signal: AbortSignal): Promise<Group | undefined> {
    while (!signal.aborted && !this.#closed) {
      const group = this.#groups.shift()
      if (group !== undefined) {
        this.#bytes -= group.payload.length
        this.#fill()
        return group
      }
      await this.#untilFetched(signal)
    }
    return undefined
  }

  close(): void {
    this.#closed = true
    this.#wake?.()
  }

  #untilFetched(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const wake = () => {
        signal.removeEventListener('abort', wake)
        resolve()
      }
      signal.addEventListener('abort', wake, { once: true })
      this.#wake = wake
    })
  }

  /** Why some partitions cannot be read now, or undefined. */
  get failure(): string | undefined {
    if (this.#askFailure !== undefined) return this.#askFailure
    const [first] = this.#problems
    if (first === undefined) return undefined
    const more = this.#problems.size > 1 ? `, and ${this.#problems.size - 1} partitions more` : ''
    return `partition ${first[0]} of ${this.#options.topic.name} cannot be read (${first[1]})${more}`
  }

  /** Sends a fetch to every leader that has none in progress. */
  async #fill(): Promise<void> {
    if (this.#closed || this.#paused || this.#bytes >= BUFFER_BYTES || this.#positions.size === 0) return
    const { client, topic } = this.#options
    try {
      const known = (await client.metadata({ topics: [topic.name] })).topics.get(topic.name)
      this.#askFailure = undefined
      if (this.#closed) return
      const byLeader = new Map<number, number[]>()
      let missing = false
      for (const partition of this.#positions.keys()) {
        const leader = known?.partitions[partition]?.leader ?? -1
        if (leader < 0) {
          this.#noteProblem(partition, 'it has no leader')
          missing = true
        } else byLeader.set(leader, [...(byLeader.get(leader) ?? []), partition])
      }
      for (const [node, partitions] of byLeader) {
        if (!this.#busyNodes.has(node)) this.#fetch(node, this.#next(node, partitions))
      }
      if (missing) this.#pause()
    } catch (error) {
      this.#errors += 1
      this.#askFailure = `the brokers do not say who leads ${topic.name} (${reasonOf(error)})`
      this.#pause()
    }
  }

  /** The partitions of the next request: all of them. After an invalid answer: one at a time, until each was read. */
  #next(node: number, partitions: readonly number[]): readonly number[] {
    const turn = this.#oneByOne.get(node)
    if (turn === undefined) return partitions
    this.#oneByOne.set(node, turn + 1)
    return [partitions[turn % partitions.length] as number]
  }

  async #fetch(node: number, partitions: readonly number[]): Promise<void> {
    this.#busyNodes.add(node)
    const asked = new Map(partitions.map((partition) => [partition, this.#positions.get(partition) ?? 0]))
    const answer = await this.#ask(node, asked)
    this.#busyNodes.delete(node)
    if (this.#closed) return this.#wake?.()
    let failed = answer === undefined
    for (const { partitionIndex, errorCode, records, highWatermark } of answer ?? []) {
      // The partition was removed, or its position was set, while the request was in progress.
      const offset = asked.get(partitionIndex)
      if (offset === undefined || this.#positions.get(partitionIndex) !== offset) continue
      if (errorCode === 0) {
        this.#problems.delete(partitionIndex)
        this.#options.onHighWatermark(partitionIndex, Number(highWatermark))
        for (const batch of records ?? []) this.#take(partitionIndex, batch)
        continue
      }
      failed = true
      const reason = protocolErrorsCodesById[errorCode] ?? `error ${errorCode}`
      this.#noteProblem(partitionIndex, reason)
      if (reason === 'OFFSET_OUT_OF_RANGE') await this.#findPlace(partitionIndex, offset)
    }
    if (failed) {
      this.#options.client.clearMetadata()
      this.#pause()
    } else this.#fill()
    this.#wake?.()
  }

  /** @returns the broker's answer for each partition; undefined when the answer cannot be parsed. */
  async #ask(node: number, asked: ReadonlyMap<number, number>): Promise<Answer | undefined> {
    const { client, topic } = this.#options
    const partitions = [...asked].map(([partition, offset]) => request(partition, offset))
    const topics = [{ topicId: topic.id, partitions }]
    try {
      const options = { node, maxWaitTime: WAIT_MS, minBytes: 1, maxBytes: FETCH_BYTES, topics }
      const { responses } = await client.fetch(options)
      return responses.flatMap(({ partitions }) => partitions)
    } catch (error) {
      // The client throws when any partition failed; the answer has all of them.
      const answer = answerIn(error)
      if (answer !== undefined) return answer
      for (const partition of asked.keys()) this.#noteProblem(partition, reasonOf(error))
      if (asked.size > 1) this.#oneByOne.set(node, 0)
      return undefined
    } finally {
      const isThrough = (this.#oneByOne.get(node) ?? 0) > this.#positions.size
      if (isThrough && this.#problems.size === 0) this.#oneByOne.delete(node)
    }
  }

  #noteProblem(partition: number, reason: string): void {
    this.#errors += 1
    this.#problems.set(partition, reason)
  }

  #take(partition: number, { firstOffset, lastOffsetDelta, attributes, firstTimestamp, records }: RecordsBatch): void {
    const position = this.#positions.get(partition) ?? 0
    const first = Number(firstOffset)
    if ((attributes & CONTROL) === 0) {
      // Compaction and transactions leave gaps in the offsets: each run without a gap is a group.
      let run: Buffer[] = []
      let base = position
      const end = () => {
        if (run.length > 0) this.#push(partition, base, timeOf(firstTimestamp), run)
        run = []
      }
      for (const { offsetDelta, value } of records) {
        const offset = first + offsetDelta
        if (offset < position) continue
        if (offset !== base + run.length) end()
        if (run.length === 0) base = offset
        run.push(value ?? Buffer.alloc(0))
      }
      end()
    }
    this.#positions.set(partition, Math.max(position, first + lastOffsetDelta + 1))
  }

  #push(partition: number, baseOffset: number, appendedAtMs: number, values: readonly Buffer[]): void {
    const payload = Buffer.allocUnsafe(values.reduce((sum, { length }) => sum + length + 1, 0))
    let at = 0
    for (const value of values) {
      payload.set(value, at)
      // Our values never contain a line break. In JSON of other producers, it can only be white space between tokens.
      for (let found = value.indexOf(NEWLINE); found !== -1; found = value.indexOf(NEWLINE, found + 1)) {
        payload[at + found] = SPACE
      }
      at += value.length
      payload[at] = NEWLINE
      at += 1
    }
    const logId = `${this.#options.topic.id}-${partition}`
    this.#groups.push({ logId, partition, baseOffset, count: values.length, appendedAtMs, payload })
    this.#bytes += payload.length
  }

  async #findPlace(partition: number, offset: number): Promise<void> {
    try {
      const place = await this.#options.onOutOfRange(partition, offset)
      if (this.#positions.get(partition) === offset) this.#positions.set(partition, place)
      this.#problems.delete(partition)
    } catch (error) {
      this.#noteProblem(partition, `the brokers do not say where it begins: ${reasonOf(error)}`)
    }
  }

  #pause(): void {
    if (this.#paused) return
    this.#paused = true
    setTimeout(() => {
      this.#paused = false
      this.#fill()
    }, PAUSE_AFTER_ERROR_MS).unref()
  }
}

type Answer = Awaited<ReturnType<Client['fetch']>>['responses'][number]['partitions']

/** The broker's answer inside an error of the client. */
function answerIn(error: unknown): Answer | undefined {
  const {
    response,
    errors = [],
    cause,
  } = error as { response?: { responses?: { partitions: Answer }[] }; errors?: unknown[]; cause?: unknown }
  if (response?.responses !== undefined) return response.responses.flatMap(({ partitions }) => partitions)
  for (const inner of cause === undefined ? errors.toReversed() : [cause, ...errors.toReversed()]) {
    const found = inner instanceof Error ? answerIn(inner) : undefined
    if (found !== undefined) return found
  }
  return undefined
}

/** Other producers may write any number. One that is not a valid time, such as -1, is replaced by the current time. */
function timeOf(timestamp: bigint): number {
  return timestamp >= 0n && timestamp <= MAX_DATE_MS ? Number(timestamp) : Date.now()
}

function request(partition: number, offset: number) {
  const unknown = -1 // no epoch check: whichever leader answers has every acknowledged event
  return {
    partition,
    fetchOffset: BigInt(offset),
    currentLeaderEpoch: unknown,
    lastFetchedEpoch: unknown,
    partitionMaxBytes: PARTITION_BYTES,
  }
}
