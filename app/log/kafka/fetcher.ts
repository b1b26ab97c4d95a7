/**
 * Reads partitions of a topic: one request at a time to each broker, as far ahead as the buffer allows.
 *
 *     positions ─▶ fetch from each leader ─▶ groups, in order per partition ─▶ next()
 */
import { type Consumer as Client, findErrorBy, type RecordsBatch } from '@platformatic/kafka'
import type { Group } from '../log.ts'
import type { Topic } from './topic.ts'

export interface FetcherOptions {
  /** A client of its own: its requests wait for events. */
  readonly client: Client
  readonly topic: Topic
  /** Called when the broker no longer has what is to be read next: where to go on. */
  readonly onOutOfRange: (partition: number, offset: number) => Promise<number>
  /** Events that are durable, each time a fetch tells. */
  readonly onHighWatermark: (partition: number, offset: number) => void
}

/** Read ahead and not taken yet; one answer can exceed it. */
const BUFFER_BYTES = 8 * 1024 * 1024
const FETCH_BYTES = 4 * 1024 * 1024
const PARTITION_BYTES = 1024 * 1024
/** How long a broker holds a request open when there is nothing new. */
const WAIT_MS = 500
const PAUSE_AFTER_ERROR_MS = 200
/** Bit of the attributes that marks records of Kafka's own (Kafka protocol, record batch). */
const CONTROL = 0x20
const NEWLINE = 0x0a
const SPACE = 0x20

export class Fetcher {
  readonly #options: FetcherOptions
  /** Offset to fetch next. */
  readonly #positions = new Map<number, number>()
  readonly #busyNodes = new Set<number>()
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

  /** What was read ahead of them is dropped. */
  remove(partitions: readonly number[]): void {
    for (const partition of partitions) this.#positions.delete(partition)
    this.#groups = this.#groups.filter(({ partition }) => this.#positions.has(partition))
    this.#bytes = this.#groups.reduce((sum, { payload }) => sum + payload.length, 0)
  }

  /** Waits; undefined once `signal` is aborted or this is closed. */
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

  /** Asks every leader that is not being asked already. */
  async #fill(): Promise<void> {
    if (this.#closed || this.#paused || this.#bytes >= BUFFER_BYTES || this.#positions.size === 0) return
    const { client, topic } = this.#options
    try {
      const known = (await client.metadata({ topics: [topic.name] })).topics.get(topic.name)
      const byLeader = new Map<number, number[]>()
      for (const partition of this.#positions.keys()) {
        const leader = known?.partitions[partition]?.leader ?? -1
        if (leader < 0) continue
        byLeader.set(leader, [...(byLeader.get(leader) ?? []), partition])
      }
      for (const [node, partitions] of byLeader) this.#fetch(node, partitions)
      if (byLeader.size === 0) this.#pause()
    } catch {
      this.#pause()
    }
  }

  async #fetch(node: number, partitions: readonly number[]): Promise<void> {
    if (this.#busyNodes.has(node) || this.#closed || this.#bytes >= BUFFER_BYTES) return
    this.#busyNodes.add(node)
    const { client, topic } = this.#options
    const asked = new Map(partitions.map((partition) => [partition, this.#positions.get(partition) ?? 0]))
    try {
      const response = await client.fetch({
        node,
        maxWaitTime: WAIT_MS,
        minBytes: 1,
        maxBytes: FETCH_BYTES,
        topics: [
          { topicId: topic.id, partitions: [...asked].map(([partition, offset]) => request(partition, offset)) },
        ],
      })
      for (const { partitionIndex, records, highWatermark } of response.responses.flatMap(
        ({ partitions }) => partitions,
      )) {
        // Taken away, or set anew, while the request was under way.
        if (this.#positions.get(partitionIndex) !== asked.get(partitionIndex)) continue
        this.#options.onHighWatermark(partitionIndex, Number(highWatermark))
        for (const batch of records ?? []) this.#take(partitionIndex, batch)
      }
      this.#busyNodes.delete(node)
      this.#fill()
    } catch (error) {
      this.#busyNodes.delete(node)
      if (findErrorBy(error as Error, 'apiId', 'OFFSET_OUT_OF_RANGE')) await this.#findPlaces(asked)
      client.clearMetadata()
      this.#pause()
    }
    this.#wake?.()
  }

  #take(partition: number, { firstOffset, lastOffsetDelta, attributes, firstTimestamp, records }: RecordsBatch): void {
    const position = this.#positions.get(partition) ?? 0
    const first = Number(firstOffset)
    if ((attributes & CONTROL) === 0) {
      // Compaction and transactions leave gaps: each run without one is a group.
      let run: Buffer[] = []
      let base = position
      const end = () => {
        if (run.length > 0) this.#push(partition, base, Number(firstTimestamp), run)
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
      // Ours never hold a line break; in what others write, JSON has it between tokens only.
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

  async #findPlaces(asked: ReadonlyMap<number, number>): Promise<void> {
    for (const [partition, offset] of asked) {
      const place = await this.#options.onOutOfRange(partition, offset).catch(() => offset)
      if (this.#positions.get(partition) === offset) this.#positions.set(partition, place)
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

function request(partition: number, offset: number) {
  const unknown = -1 // we trust the leader that answers: it has at least what is acknowledged
  return {
    partition,
    fetchOffset: BigInt(offset),
    currentLeaderEpoch: unknown,
    lastFetchedEpoch: unknown,
    partitionMaxBytes: PARTITION_BYTES,
  }
}
