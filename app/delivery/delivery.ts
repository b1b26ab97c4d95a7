/**
 * Delivery to one sink: reads the log from the sink's own offset, spreads events over lanes by key, and commits the
 * offset below which everything is settled.
 *
 *     consumer ─read─▶ decode ─▶ lane 0 ─▶ sink ─▶ settled ┐
 *                          └───▶ lane n ─▶ sink ─▶ settled ┴▶ flush the sink, then commit the offset
 *
 * The commit is at most COMMIT_EVERY_MS behind: that much is repeated after a crash, nothing is skipped.
 */
import { messageOf } from '../errors.ts'
import { keyOf } from '../event.ts'
import type { Handler } from '../handlers/handler.ts'
import type { Consumer, Log } from '../log/log.ts'
import type { DeliveryView } from '../metrics.ts'
import type { AttemptOutcome } from '../metrics-contract.ts'
import type { Sink } from '../sinks/sink.ts'
import type { RetryPolicy } from './backoff.ts'
import { type DeadLetter, DeadLetters, type ReplayResult } from './dead-letters.ts'
import { decode } from './decode.ts'
import type { Task } from './handle.ts'
import { Lane, type LaneOptions } from './lane.ts'

export interface DeliveryOptions {
  readonly log: Log
  readonly sink: Sink
  /** Log of this sink's dead letters. */
  readonly deadLetterLog: Log
  readonly handlers: readonly Handler[]
  readonly handlerConcurrency: number
  readonly retry: RetryPolicy
  /** Bytes of events that may queue in one lane; at least the largest event. */
  readonly laneBytes: number
  readonly onWarning: (message: string) => void
}

const COMMIT_EVERY_MS = 200

export class Delivery implements DeliveryView {
  readonly sink: string
  readonly attempts = new Map<AttemptOutcome, number>()
  readonly #options: DeliveryOptions
  readonly #consumer: Consumer
  readonly #deadLetters: DeadLetters
  readonly #lanes: Lane[]
  readonly #pumping: Promise<void>
  readonly #running: Promise<unknown>
  /** Aborted to stop reading; what is read is still delivered. */
  readonly #stopReading = new AbortController()
  /** Aborted to leave what is not settled for the next start. */
  readonly #stop = new AbortController()
  /** Offset of the next event to hand to a lane. */
  #next: number
  /** Offsets of dead letters that are not committed past yet, and how many are. */
  #deadOffsets: number[] = []
  #deadLettered: number
  #failingNoted = false
  #commitFailing = false
  #replayed = 0
  #commitTimer: NodeJS.Timeout | undefined
  #lastCommitMs = Number.NEGATIVE_INFINITY
  #committing: Promise<void> = Promise.resolve()

  private constructor(options: DeliveryOptions, consumer: Consumer, deadLetters: DeadLetters) {
    this.#options = options
    this.sink = options.sink.name
    this.#consumer = consumer
    this.#deadLetters = deadLetters
    this.#next = consumer.progress.offset
    this.#deadLettered = consumer.progress.deadLettered
    const laneOptions = this.#laneOptions((letters) => this.#giveUp(letters))
    this.#lanes = Array.from({ length: options.sink.concurrency }, () => new Lane(laneOptions))
    this.#running = Promise.all(this.#lanes.map((lane) => lane.run()))
    this.#pumping = this.#pump()
  }

  /** Opens the sink's consumer and begins to deliver. */
  static async start(options: DeliveryOptions): Promise<Delivery> {
    const consumer = await options.log.consumer(options.sink.name)
    return new Delivery(options, consumer, await DeadLetters.open(options.deadLetterLog))
  }

  get deliveredTotal(): number {
    const { offset, startOffset, deadLettered, damaged } = this.#consumer.progress
    return offset - startOffset - deadLettered - damaged
  }

  get deadLetteredTotal(): number {
    return this.#consumer.progress.deadLettered
  }

  get damagedTotal(): number {
    return this.#consumer.progress.damaged
  }

  get replayedTotal(): number {
    return this.#replayed
  }

  get deadLettersPending(): number {
    return this.#deadLetters.pending
  }

  get lagEvents(): number {
    return this.#consumer.lagEvents
  }

  get lagSeconds(): number {
    if (this.lagEvents === 0) return 0
    const busy = this.#lanes.filter((lane) => lane.pending > 0)
    const oldestMs = Math.min(...busy.map((lane) => lane.floorAppendedAtMs))
    return Number.isFinite(oldestMs) ? Math.max(0, (Date.now() - oldestMs) / 1000) : 0
  }

  get failing(): boolean {
    return this.failure !== undefined
  }

  /** Why the sink is being retried, or undefined. */
  get failure(): string | undefined {
    return this.#lanes.find((lane) => lane.failure !== undefined)?.failure
  }

  /**
   * Delivers the dead letters that are there now once more.
   * @returns undefined when a replay is already under way.
   */
  async replay(): Promise<ReplayResult | undefined> {
    if (this.#deadLetters.isReplaying) return undefined
    let failedAgain = 0
    const lane = new Lane({
      ...this.#laneOptions(async (letters) => {
        await this.#deadLetters.append(letters)
        failedAgain += letters.length
      }),
      onSettled: () => undefined,
    })
    const running = lane.run()
    const deliver = async (letters: readonly DeadLetter[]) => {
      const failedBefore = failedAgain
      for (const { event, offset } of letters) {
        const task: Task = { event, offset, appendedAtMs: Date.now(), bytes: 0, attempts: 0, outputs: undefined }
        if (!(lane.trySend(task) || (await lane.send(task)))) return
      }
      while (lane.pending > 0 && !this.#stop.signal.aborted) await new Promise((resolve) => setTimeout(resolve, 10))
      await this.#options.sink.flush?.()
      this.#replayed += letters.length - (failedAgain - failedBefore)
    }
    try {
      const { letters } = await this.#deadLetters.replay(deliver, this.#stop.signal)
      return { letters, failedAgain }
    } finally {
      lane.sender.close()
      await running
    }
  }

  /**
   * Stops: goes on while the sink works and the log has more, for at most `drainMs`, then finishes what is in hand.
   * @returns whether everything that was begun is settled; events that are only in the log do not count, they are safe.
   */
  async close(drainMs: number): Promise<boolean> {
    const deadline = Date.now() + drainMs
    while (this.lagEvents > 0 && !this.failing && Date.now() < deadline) await sleep(10)
    this.#stopReading.abort()
    // Shortly after the deadline: whatever a lane waits for now, the next start tries again.
    const timer = setTimeout(() => this.#stop.abort(), this.failing ? 0 : Math.max(100, deadline - Date.now()))
    await this.#pumping
    for (const lane of this.#lanes) lane.sender.close()
    await this.#running
    clearTimeout(timer)
    const settled = this.#lanes.every((lane) => lane.pending === 0)
    clearTimeout(this.#commitTimer)
    await this.#committing
    const committed = await this.#commit()
    await this.#options.sink.close()
    await this.#deadLetters.close()
    return committed && (settled || this.failing)
  }

  async #pump(): Promise<void> {
    const { log } = this.#options
    const { signal } = this.#stopReading
    for (;;) {
      const group = await this.#consumer.read(signal)
      if (group === undefined) return
      const events = decode(group, log.id)
      const bytes = Math.ceil(group.payload.length / group.count)
      const { appendedAtMs } = group
      for (let index = Math.max(0, this.#next - group.baseOffset); index < events.length; index++) {
        const event = events[index]
        if (event === undefined || signal.aborted) return
        const offset = group.baseOffset + index
        const task: Task = { event, offset, appendedAtMs, bytes, attempts: 0, outputs: undefined }
        const lane = this.#laneFor(task)
        this.#next = offset + 1
        if (!(lane.trySend(task) || (await lane.send(task)))) return
      }
      // Damage may have been stepped over.
      this.#next = group.baseOffset + group.count
    }
  }

  #laneFor({ event }: Task): Lane {
    const first = this.#lanes[0]
    if (first === undefined) throw new Error('a sink has at least one lane')
    if (this.#lanes.length === 1) return first
    return this.#lanes[hash(keyOf(event)) % this.#lanes.length] ?? first
  }

  /** Everything below it is settled. */
  #settledOffset(): number {
    let settled = this.#next
    for (const lane of this.#lanes) if (lane.pending > 0) settled = Math.min(settled, lane.floor)
    return settled
  }

  #laneOptions(giveUp: LaneOptions['giveUp']): LaneOptions {
    const { sink, handlers, handlerConcurrency, retry, laneBytes } = this.#options
    return {
      sink,
      handlers,
      handlerConcurrency,
      retry,
      capacityBytes: laneBytes,
      giveUp,
      onAttempt: (outcome) => this.attempts.set(outcome, (this.attempts.get(outcome) ?? 0) + 1),
      onState: () => this.#noteState(),
      onSettled: () => this.#commitSoon(),
      signal: this.#stop.signal,
    }
  }

  /** One line when a sink begins to fail, one when all of its lanes work again. */
  #noteState(): void {
    const { failure } = this
    if (failure !== undefined && !this.#failingNoted) {
      this.#options.onWarning(`sink ${this.sink} fails, its events wait in the log: ${failure.split('\n')[0]}`)
    }
    if (failure === undefined && this.#failingNoted) this.#options.onWarning(`sink ${this.sink} works again`)
    this.#failingNoted = failure !== undefined
  }

  async #giveUp(letters: readonly DeadLetter[]): Promise<void> {
    await this.#deadLetters.append(letters)
    for (const { offset } of letters) this.#deadOffsets.push(offset)
  }

  /** At rest at once, under load at intervals: a commit costs a sync, which the writes of others wait for. */
  #commitSoon(): void {
    if (this.#commitTimer !== undefined) return
    const waitMs = Math.max(0, this.#lastCommitMs + COMMIT_EVERY_MS - performance.now())
    this.#commitTimer = setTimeout(() => {
      this.#committing = this.#commit().then(() => {
        this.#commitTimer = undefined
        if (this.#settledOffset() > this.#consumer.progress.offset) this.#commitSoon()
      })
    }, waitMs)
  }

  async #commit(): Promise<boolean> {
    const offset = this.#settledOffset()
    if (offset <= this.#consumer.progress.offset) return true
    this.#lastCommitMs = performance.now()
    try {
      await this.#options.sink.flush?.()
      const passed = this.#deadOffsets.filter((dead) => dead < offset)
      await this.#consumer.commit(offset, this.#deadLettered + passed.length)
      this.#deadLettered += passed.length
      this.#deadOffsets = this.#deadOffsets.filter((dead) => dead >= offset)
      this.#commitFailing = false
      return true
    } catch (error) {
      if (!this.#commitFailing) {
        this.#options.onWarning(`sink ${this.sink}: its offset cannot be committed, trying again: ${messageOf(error)}`)
      }
      this.#commitFailing = true
      return false
    }
  }
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

/** FNV-1a over UTF-16 units (Fowler, Noll, Vo): spreads keys over lanes, nothing else depends on it. */
function hash(key: string): number {
  let value = 0x811c9dc5
  for (let at = 0; at < key.length; at++) value = Math.imul(value ^ key.charCodeAt(at), 0x01000193)
  return value >>> 0
}
