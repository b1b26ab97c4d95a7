/**
 * Delivery to one sink: reads the log from the sink's own offsets, spreads events over lanes by key, and commits the
 * offset of each partition below which everything is settled.
 *
 *     consumer ─read─▶ decode ─▶ lane 0 ─▶ sink ─▶ settled ┐
 *                          └───▶ lane n ─▶ sink ─▶ settled ┴▶ flush the sink, then commit the offsets
 *
 * Reading is in reader.ts, committing in committing.ts, the replay of dead letters in replay.ts.
 */
import { messageOf } from '../errors.ts'
import type { Block } from '../event/item.ts'
import type { Filter, Handler } from '../handlers/handler.ts'
import type { Consumer, Group, Log, Settled } from '../log/log.ts'
import type { DeliveryView } from '../observability/metrics.ts'
import type { AttemptOutcome } from '../observability/metrics-contract.ts'
import type { Refused, Sink } from '../sinks/sink.ts'
import type { RetryPolicy } from './backoff.ts'
import { Change } from './change.ts'
import { Committing } from './committing.ts'
import { DeadLetters, type ListedLetter, type ReplayResult } from './dead-letters.ts'
import { decode } from './decode.ts'
import { faultOf, KEPT_OUT } from './filter.ts'
import { Lane, type LaneOptions } from './lane.ts'
import { PartitionProgress } from './progress.ts'
import { Reader } from './reader.ts'
import { Replays } from './replay.ts'
import { Picked, type Run, Stretch, Task } from './task.ts'

export interface DeliveryOptions {
  /** Name of the consumer, the metrics and the dead letters. */
  readonly name: string
  readonly log: Pick<Log, 'consumer'>
  readonly sink: Sink
  /** Log of this sink's dead letters. */
  readonly deadLetterLog: Log
  /** Selects the events to deliver; the others are settled at once. Default: all events. */
  readonly filter?: Filter | undefined
  readonly handlers: readonly Handler[]
  readonly handlerConcurrency: number
  readonly retry: RetryPolicy
  /** Bytes of events that may queue in one lane; at least the largest event. */
  readonly laneBytes: number
  readonly onWarning: (message: string) => void
}

/** A delivery as the rest of the service sees it, on whatever thread it runs. */
export interface RunningDelivery extends DeliveryView {
  /** Why the sink is being retried, or undefined. */
  readonly failure: string | undefined
  /** Lag without the events that a collecting sink already holds: more processes can deliver only these. */
  readonly waitingEvents: number
  /** The oldest dead letters that were not replayed yet. */
  deadLetters(limit: number): Promise<readonly Pick<ListedLetter, 'text'>[]>
  /**
   * Delivers every dead letter that exists now again.
   * @returns undefined when a replay is already in progress.
   */
  replay(): Promise<ReplayResult | undefined> | undefined
  /**
   * Stops the delivery. It goes on for at most `drainMs` while the sink works and the log has more events. Then it
   * finishes the events in progress.
   * @returns whether all events in progress are settled. Events that are only in the log do not count: they are safe.
   */
  close(drainMs: number): Promise<boolean>
}

/** Most dead letters in one append. */
const REFUSED_AT_ONCE = 100
/** How long a revoked partition waits for events in progress. The next process delivers the rest. */
const REVOKE_WAIT_MS = 5000
/** How often a collecting sink is flushed again meanwhile, for events that it got since the last flush. */
const RELEASE_LOOK_MS = 50

export class Delivery implements RunningDelivery {
  readonly sink: string
  readonly attempts = new Map<AttemptOutcome, number>()
  readonly #options: DeliveryOptions
  readonly #consumer: Consumer
  readonly #deadLetters: DeadLetters
  readonly #lanes: Lane[]
  #pumping = Promise.resolve()
  #running: Promise<unknown> = Promise.resolve()
  /** Aborted to stop reading. Events that are already read are still delivered. */
  readonly #stopReading = new AbortController()
  /** Aborted to stop delivering. The next start delivers the unsettled events. */
  readonly #stop = new AbortController()
  /** Notified when events are settled or committed, when a failure begins or ends, and at a stop. */
  readonly #change = new Change()
  readonly #partitions = new Map<number, PartitionProgress>()
  readonly #reader: Reader
  readonly #committing: Committing
  #failingNoted = false
  readonly #replays: Replays
  #filtered = 0

  private constructor(options: DeliveryOptions, consumer: Consumer, deadLetters: DeadLetters) {
    this.#options = options
    this.sink = options.name
    this.#consumer = consumer
    this.#deadLetters = deadLetters
    consumer.onRevoke = (partitions) => this.#release(partitions)
    options.sink.onRefused = (refused) => this.#deadLetterRefused(refused)
    this.#stop.signal.addEventListener('abort', () => this.#change.note(), { once: true })
    this.#reader = new Reader({
      consumer,
      retry: options.retry,
      isBusy: () => this.#isBusy,
      onState: () => this.#noteState(),
    })
    this.#committing = new Committing({
      ...options,
      consumer,
      partitions: this.#partitions,
      onCommitted: () => this.#change.note(),
    })
    const lane = this.#laneOptions()
    this.#lanes = Array.from({ length: options.sink.concurrency }, (_, index) => new Lane({ ...lane, index }))
    this.#replays = new Replays({ filter: options.filter, deadLetters, lane, change: this.#change })
  }

  /** Opens the sink's consumer. From now on, the log keeps the events that it has not settled. */
  static async open(options: DeliveryOptions): Promise<Delivery> {
    const consumer = await options.log.consumer(options.name)
    return new Delivery(options, consumer, await DeadLetters.open(options.deadLetterLog))
  }

  /** Starts the delivery. Call it once. */
  start(): void {
    this.#running = Promise.all(this.#lanes.map((lane) => lane.run()))
    this.#pumping = this.#pump()
  }

  get settled(): Settled {
    return this.#consumer.settled
  }

  /** Events that the filter excluded, since the start. */
  get filteredTotal(): number {
    return this.#filtered
  }

  get replayedTotal(): number {
    return this.#replays.deliveredTotal
  }

  deadLetters(limit: number): Promise<ListedLetter[]> {
    return this.#deadLetters.list(limit, this.#stop.signal)
  }

  get deadLettersPending(): number {
    return this.#deadLetters.pending
  }

  get lagEvents(): number {
    return this.#consumer.lagEvents
  }

  /** Of the lag, the events that a collecting sink already holds. */
  get gatheredEvents(): number {
    return this.#lanes.reduce((sum, lane) => sum + lane.gathered, 0)
  }

  get waitingEvents(): number {
    return waitingOf(this)
  }

  get lagSeconds(): number {
    return lagSecondsOf(this.#consumer)
  }

  /** Reads of the log that failed, since the start. */
  get readErrorsTotal(): number {
    return this.#reader.errors
  }

  get failing(): boolean {
    return this.failure !== undefined
  }

  get failure(): string | undefined {
    const inLane = this.#lanes.find((lane) => lane.failure !== undefined)?.failure
    return this.#reader.failure ?? inLane ?? this.#options.sink.failure
  }

  /** Whether events are in progress, or settled but not committed. */
  get #isBusy(): boolean {
    return this.#lanes.some(({ pending }) => pending > 0) || this.#committing.uncommitted.length > 0
  }

  replay(): Promise<ReplayResult> | undefined {
    return this.#replays.start()
  }

  async close(drainMs: number): Promise<boolean> {
    const deadline = performance.now() + drainMs
    while (this.waitingEvents > 0 && !this.failing && performance.now() < deadline) {
      await this.#change.next(deadline - performance.now())
    }
    this.#stopReading.abort()
    this.#reader.close()
    // Stop shortly after the deadline. The next start retries the events for which a lane still waits.
    const leftMs = this.failing ? 0 : Math.max(100, deadline - performance.now())
    const timer = setTimeout(() => this.#stop.abort(), leftMs)
    await this.#pumping
    for (const lane of this.#lanes) lane.sender.close()
    await this.#running
    await this.#flushGathered(leftMs)
    clearTimeout(timer)
    const settled = this.#lanes.every((lane) => lane.pending === 0)
    this.#committing.stop()
    const committed = await this.#committing.now()
    this.#stop.abort() // a replay leaves the rest for the next replay
    await this.#replays.ended
    const closed = await this.#closeSink()
    await this.#deadLetters.close()
    return committed && closed && (settled || this.failing)
  }

  async #closeSink(): Promise<boolean> {
    try {
      await this.#options.sink.close()
      return true
    } catch (error) {
      this.#options.onWarning(`sink ${this.sink} could not be closed: ${messageOf(error)}`)
      return false
    }
  }

  async #pump(): Promise<void> {
    const { signal } = this.#stopReading
    for (;;) {
      const group = await this.#reader.next(signal)
      if (group === undefined) return
      const { baseOffset, count } = group
      const progress = this.#progressOf(group)
      let offset = baseOffset
      for (const block of decode(group)) {
        if (block === undefined) {
          if (offset >= progress.next) this.#stepOver(progress, offset)
        } else if (!(await this.#handOut(block, progress))) return
        if (progress.revoked) break
        offset += block?.count ?? 1
        progress.next = Math.max(progress.next, offset)
      }
      // The consumer may have skipped damage.
      if (!progress.revoked) progress.next = Math.max(progress.next, baseOffset + count)
      if (this.#options.filter !== undefined || count === 0) this.#committing.soon()
    }
  }

  /** Sends the events of a block to the lanes, in runs. @returns false when the delivery stops. */
  #handOut(block: Block, progress: PartitionProgress): Promise<boolean> {
    const first = Math.max(0, progress.next - block.origin.baseOffset)
    const isForAll = this.#lanes.length === 1 && this.#options.filter === undefined
    return isForAll ? this.#handOutAll(block, first, progress) : this.#handOutPicked(block, first, progress)
  }

  /** Sends whole runs without parsing events, because all of them go to the same lane. */
  async #handOutAll(block: Block, first: number, progress: PartitionProgress): Promise<boolean> {
    const limit = this.#limitOf(0, block)
    for (let from = first; from < block.count; from += limit) {
      const run = new Stretch(block, from, Math.min(from + limit, block.count), progress)
      if (!(await this.#send(0, run))) return false
    }
    return true
  }

  async #handOutPicked(block: Block, first: number, progress: PartitionProgress): Promise<boolean> {
    const runs: (Picked | undefined)[] = []
    for (let index = first; index < block.count; index++) {
      const task = this.#taskOf(block, index, progress)
      if (task === undefined) continue
      const lane = this.#lanes.length === 1 ? 0 : hash(task.key) % this.#lanes.length
      const run = runs[lane]
      if (run === undefined) runs[lane] = new Picked([task])
      else run.tasks.push(task)
      const begun = runs[lane]
      if (begun === undefined || begun.length < this.#limitOf(lane, block)) continue
      runs[lane] = undefined
      if (!(await this.#send(lane, begun))) return false
    }
    for (const [lane, run] of runs.entries()) {
      if (run !== undefined && !(await this.#send(lane, run))) return false
    }
    return true
  }

  /** Most events in one run: at most a batch of the sink, and small enough that two runs fit into a lane. */
  #limitOf(lane: number, { bytes, count }: Block): number {
    const { maxBatchEvents } = this.#lanes[lane] as Lane
    return Math.max(1, Math.min(maxBatchEvents, Math.floor((this.#options.laneBytes / 2 / bytes) * count)))
  }

  /** The task of an event; undefined if the filter excludes it. */
  #taskOf(block: Block, index: number, progress: PartitionProgress): Task | undefined {
    const task = new Task(block, index, progress)
    const fault = faultOf(this.#options.filter, task)
    if (fault === undefined) return task
    if (fault !== KEPT_OUT) return new Task(block, index, progress, fault)
    this.#filtered += 1
    return undefined
  }

  /** @returns false when the delivery stops. */
  async #send(lane: number, run: Run): Promise<boolean> {
    if (this.#stopReading.signal.aborted) return false
    return run.ours === undefined || (this.#lanes[lane] as Lane).send(run)
  }

  #progressOf({ partition, logId }: Group): PartitionProgress {
    const known = this.#partitions.get(partition)
    if (known) return known
    const next = this.#consumer.committedOffset(partition)
    const progress = new PartitionProgress({ partition, logId }, next, this.#lanes.length)
    this.#partitions.set(partition, progress)
    return progress
  }

  #stepOver(progress: PartitionProgress, offset: number): void {
    progress.stepOver(offset)
    this.#committing.soon()
    const where = `partition ${progress.partition}, offset ${offset}`
    this.#options.onWarning(
      `sink ${this.sink}: the record at ${where} is not a JSON object: skipped, and counted as damaged`,
    )
  }

  /** Settles the events in progress of these partitions. After a time limit, the rest is left to the next process. */
  async #release(partitions: readonly number[]): Promise<void> {
    const released = partitions.flatMap((partition) => this.#partitions.get(partition) ?? [])
    const deadline = performance.now() + REVOKE_WAIT_MS
    const isBusy = () => released.some((progress) => !progress.isIdle)
    while (isBusy() && !this.failing && !this.#stop.signal.aborted && performance.now() < deadline) {
      await this.#flushGathered(deadline - performance.now())
      if (isBusy()) await this.#change.next(Math.min(RELEASE_LOOK_MS, deadline - performance.now()))
    }
    await this.#committing.now()
    for (const progress of released) {
      progress.revoked = true
      this.#options.sink.forget?.(progress.logId)
      this.#partitions.delete(progress.partition)
    }
  }

  /** Flushes events that a collecting sink would keep for longer. */
  async #flushGathered(limitMs: number): Promise<void> {
    const { sink } = this.#options
    if (sink.durable === undefined) return
    const { promise, resolve } = Promise.withResolvers<void>()
    const timer = setTimeout(resolve, limitMs)
    await Promise.race([sink.flush?.(), promise])
    clearTimeout(timer)
  }

  /** Makes dead letters of events that the destination of a collecting sink refuses for good. */
  async #deadLetterRefused(refused: readonly Refused[]): Promise<void> {
    const failedAt = new Date().toISOString()
    for (let at = 0; at < refused.length; at += REFUSED_AT_ONCE) {
      const some = refused.slice(at, at + REFUSED_AT_ONCE)
      await this.#deadLetters.append(
        some.map(({ item: { json, offset }, reason }) => ({ json, offset, attempts: 1, reason, failedAt })),
      )
      this.attempts.set('dead_lettered', (this.attempts.get('dead_lettered') ?? 0) + some.length)
    }
    const offsets = new Map<string, Set<number>>()
    for (const {
      item: { logId, offset },
    } of refused)
      offsets.set(logId, (offsets.get(logId) ?? new Set()).add(offset))
    for (const progress of this.#partitions.values()) {
      for (const offset of offsets.get(progress.logId) ?? []) progress.deadLetter(offset)
    }
  }

  #laneOptions(): Omit<LaneOptions, 'index'> {
    const { name, sink, handlers, handlerConcurrency, retry, laneBytes } = this.#options
    return {
      name,
      sink,
      handlers,
      handlerConcurrency,
      retry,
      capacityBytes: laneBytes,
      keepDeadLetters: (letters) => this.#deadLetters.append(letters),
      onAttempt: (outcome) => this.attempts.set(outcome, (this.attempts.get(outcome) ?? 0) + 1),
      onState: () => this.#noteState(),
      onSettled: () => {
        this.#change.note()
        this.#committing.soon()
      },
      signal: this.#stop.signal,
    }
  }

  /** Logs one line when a sink begins to fail, and one when all of its lanes work again. */
  #noteState(): void {
    this.#change.note()
    const { failure } = this
    if (failure !== undefined && !this.#failingNoted) {
      this.#options.onWarning(`sink ${this.sink} fails, its events wait in the log: ${failure.split('\n')[0]}`)
    }
    if (failure === undefined && this.#failingNoted) this.#options.onWarning(`sink ${this.sink} works again`)
    this.#failingNoted = failure !== undefined
  }
}

/** Lag without the events that a collecting sink already holds: more processes can deliver only these. */
export function waitingOf({ lagEvents, gatheredEvents }: Pick<Delivery, 'lagEvents' | 'gatheredEvents'>): number {
  return Math.max(0, lagEvents - gatheredEvents)
}

/** Age of the oldest unsettled event, whether a sink, a handler, or reading the log delays it. Seconds. */
export function lagSecondsOf({ oldestAppendedAtMs: atMs }: Consumer): number {
  return atMs === undefined ? 0 : Math.max(0, (Date.now() - atMs) / 1000)
}

/** FNV-1a over UTF-16 code units (Fowler, Noll, Vo). Used only to spread keys over lanes. */
function hash(key: string): number {
  let value = 0x811c9dc5
  for (let at = 0; at < key.length; at++) value = Math.imul(value ^ key.charCodeAt(at), 0x01000193)
  return value >>> 0
}
