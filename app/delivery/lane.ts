/**
 * One lane of a sink: a channel and a single task that reads it. That keeps events with the same key in order.
 *
 *     pump ─send─▶ channel ─recvMany─▶ handlers ─▶ sink.write ─▶ settled
 *                                         ▲           │ failed: wait (backoff), retry only these
 *                                         └───────────┤
 *                                                     └ given up: dead letter, then settled
 *
 * An event is settled only after the sink has confirmed it, or its dead letter is durable. With a collecting sink, it
 * is settled only after the sink reports it as durable; meanwhile the lane goes on. While a lane waits for a retry, the
 * events behind wait, too: order per key is more important than passing a stuck event.
 */
import { channel, type Receiver, type Sender } from '../channel/channel.ts'
import { messageOf } from '../errors.ts'
import type { Handler } from '../handlers/handler.ts'
import type { AttemptOutcome } from '../observability/metrics-contract.ts'
import { SinkBatch } from '../sinks/batch.ts'
import { type Failure, type Item, type Sink, SinkUnavailable } from '../sinks/sink.ts'
import { backoffMs, pause, type RetryPolicy } from './backoff.ts'
import type { DeadLetter } from './dead-letters.ts'
import { handleBatch } from './handle.ts'
import type { PartitionProgress } from './progress.ts'
import { Picked, type Run, type Task } from './task.ts'

export interface LaneOptions {
  /** Index among the lanes of the sink. */
  readonly index: number
  /** Name of the delivery, as handlers see it. */
  readonly name: string
  readonly sink: Sink
  readonly handlers: readonly Handler[]
  readonly handlerConcurrency: number
  readonly retry: RetryPolicy
  /** Bytes of encoded events that may queue in the lane. */
  readonly capacityBytes: number
  /** Resolves when the dead letters are durable. */
  readonly keepDeadLetters: (letters: readonly DeadLetter[]) => Promise<void>
  readonly onAttempt: (outcome: AttemptOutcome) => void
  /** Called after `failure` of a lane changed. */
  readonly onState: () => void
  readonly onSettled: () => void
  /** Aborted when unsettled events are to be left for the next start. */
  readonly signal: AbortSignal
}

/** Batch size with handlers. They may take long, so a small batch brings the first events to the sink sooner. */
const HANDLER_BATCH_EVENTS = 32

/** Limit of a reason. A handler may put the whole event in its error: the letter would be too large for the log. */
const MAX_REASON_CHARACTERS = 8192

type Failures = Map<Task, Omit<Failure, 'index'>>

const NO_FAILURES: Failures = new Map()

export class Lane {
  readonly sender: Sender<Run>
  /** Most events in one call of the sink, and so in one run. */
  readonly maxBatchEvents: number
  readonly #receiver: Receiver<Run>
  readonly #options: LaneOptions
  readonly #handles: boolean
  /** Events sent to this lane and not settled. */
  pending = 0
  /** How many of them a collecting sink holds. */
  gathered = 0
  /** Why this lane waits for a retry, or undefined. */
  failure: string | undefined

  constructor(options: LaneOptions) {
    const { sink, handlers, capacityBytes } = options
    this.#options = options
    this.#handles = handlers.length > 0
    this.maxBatchEvents = this.#handles ? Math.min(sink.maxBatchEvents, HANDLER_BATCH_EVENTS) : sink.maxBatchEvents
    const { sender, receiver } = channel<Run>(Math.max(16, 2 * this.maxBatchEvents), {
      slots: ({ length }) => length,
      maxBytes: capacityBytes,
      // An event larger than a lane (written with other limits, or by another producer) takes the whole lane.
      bytes: ({ bytes }) => Math.min(bytes, capacityBytes),
    })
    this.sender = sender
    this.#receiver = receiver
  }

  /** Queues a run, after waiting for room; false once the signal is aborted. */
  async send(run: Run): Promise<boolean> {
    this.#expect(run)
    if (this.sender.trySend(run) === 'sent') return true
    try {
      await this.sender.send(run, { signal: this.#options.signal })
      return true
    } catch {
      return false
    }
  }

  /** Runs until the channel is closed and drained, or the signal is aborted. */
  async run(): Promise<void> {
    const runs: Run[] = []
    const limits = { maxSlots: this.maxBatchEvents }
    while (!this.#options.signal.aborted && (await this.#receiver.recvMany(runs, this.maxBatchEvents, limits)) > 0) {
      await this.#settle(runs)
      runs.length = 0
    }
  }

  #expect({ length, firstOffset, progress }: Run): void {
    this.pending += length
    progress?.begin(this.#options.index, firstOffset, length)
  }

  async #settle(runs: readonly Run[]): Promise<void> {
    const { signal } = this.#options
    let open = oursOf(runs)
    for (let unavailable = 0; open.length > 0; ) {
      let waitMs: number
      try {
        const failures = await this.#attempt(open)
        if (signal.aborted) return
        const attempted = countOf(open)
        const failed = failures.size === 0 ? [] : tasksOf(open).filter((task) => failures.has(task))
        open = picked(failed) // the others are done and never retried
        const again = await this.#judge(failed, failures, failed.length < attempted)
        open = picked(again)
        unavailable = 0
        waitMs = this.#waitAfter(again, failures)
      } catch (error) {
        if (signal.aborted) return
        waitMs = this.#waitUnavailable(error, ++unavailable)
      }
      open = oursOf(open)
      if (open.length > 0) await pause(waitMs, signal)
      if (signal.aborted && open.length > 0) return
    }
    this.#setFailure(undefined)
    this.#settleOnceDurable(runs)
  }

  /**
   * Counts an attempt for each failed event. Events without attempts left become dead letters.
   * @returns the events to retry, in order.
   */
  async #judge(failed: readonly Task[], failures: Failures, isSomeDelivered: boolean): Promise<Task[]> {
    const { retry, keepDeadLetters, onAttempt } = this.#options
    const again: Task[] = []
    const dead: { task: Task; letter: DeadLetter }[] = []
    for (const task of failed) {
      const failure = failures.get(task)
      if (failure === undefined) continue
      if (failure === HELD) again.push(task)
      else if (++task.attempts < retry.maxAttempts && failure.retryable) again.push(task)
      else dead.push({ task, letter: deadLetter(task, failure.reason) })
    }
    if (dead.length > 0) await keepDeadLetters(dead.map(({ letter }) => letter))
    for (const { task } of dead) task.progress?.deadLetter(task.offset)
    for (const _ of dead) onAttempt('dead_lettered')
    if (again.length > 0) onAttempt('retried')
    else if (isSomeDelivered) onAttempt('delivered')
    return again
  }

  /** Delay before `open` is retried; 0 if all of them only waited for an event that has become a dead letter. */
  #waitAfter(open: readonly Task[], failures: Failures): number {
    const first = open.map((task) => failures.get(task)).find((failure) => failure !== HELD)
    this.#setFailure(first?.reason)
    return first ? backoffMs(Math.max(1, ...open.map(({ attempts }) => attempts)), this.#options.retry) : 0
  }

  /** Delay while the sink, or the log of dead letters, cannot be used. That costs no event an attempt. */
  #waitUnavailable(error: unknown, attempt: number): number {
    this.#options.onAttempt('unavailable')
    this.#setFailure(messageOf(error))
    const askedMs = error instanceof SinkUnavailable ? error.retryAfterMs : undefined
    return waitBefore(attempt, askedMs, this.#options.retry)
  }

  /** Settles runs: at once, or when a collecting sink reports them as durable. The lane does not wait for that. */
  #settleOnceDurable(runs: readonly Run[]): void {
    const settle = this.#settlement(runs)
    const durable = this.#options.sink.durable?.()
    if (durable === undefined) {
      settle()
      return
    }
    const length = countOf(runs)
    this.gathered += length
    this.#options.onSettled() // the lane itself is done with these runs
    durable.then(() => {
      this.gathered -= length
      settle()
    })
  }

  /** Settles runs later. Keeps only a few numbers, not the tasks: a sink may collect more events than fit in memory. */
  #settlement(runs: readonly Run[]): () => void {
    const length = countOf(runs)
    const places: { progress: PartitionProgress | undefined; count: number; offset: number }[] = []
    for (const { progress, length: count, lastOffset: offset } of runs) {
      const last = places.at(-1)
      if (last !== undefined && last.progress === progress) {
        last.count += count
        last.offset = offset
      } else places.push({ progress, count, offset })
    }
    return () => {
      this.pending -= length
      for (const { progress, count, offset } of places) progress?.settle(this.#options.index, offset, count)
      this.#options.onSettled()
    }
  }

  #setFailure(failure: string | undefined): void {
    if (failure === this.failure) return
    this.failure = failure
    this.#options.onState()
  }

  /** Runs the handlers, then the sink. @returns the failures. @throws when the sink cannot be used. */
  async #attempt(runs: readonly Run[]): Promise<Failures> {
    const { sink, signal } = this.#options
    if (this.#handles || runs.some(({ isFaulty }) => isFaulty)) return this.#attemptEach(tasksOf(runs))
    const makeLines = () => runs.flatMap(({ lines }) => lines)
    const batch = new SinkBatch(countOf(runs), runs[0]?.firstOffset ?? 0, () => tasksOf(runs), makeLines)
    const failed = await sink.write(batch, signal)
    return failed === undefined || failed.length === 0 ? NO_FAILURES : byTask(failed, tasksOf(runs))
  }

  async #attemptEach(tasks: readonly Task[]): Promise<Failures> {
    const { name, sink, handlers, handlerConcurrency, signal } = this.#options
    const write = async (items: readonly Item[], owners: readonly Task[]) => {
      if (items.length === 0) return failures
      const failed = (await sink.write(SinkBatch.of(items), signal)) ?? []
      return new Map([...failures, ...byTask(failed, owners)])
    }
    const failures: Failures = new Map()
    for (const task of tasks) {
      if (task.fault !== undefined) failures.set(task, { reason: task.fault, retryable: false })
    }
    const open = tasks.filter((task) => !failures.has(task))
    if (!this.#handles || open.length === 0) return write(open, open)
    const options = { handlers, concurrency: handlerConcurrency, sink: name, signal }
    for (const [task, reason] of await handleBatch(open, options)) failures.set(task, { reason, retryable: true })
    const outputs: Item[] = []
    const owners: Task[] = []
    for (const task of open) {
      if (failures.has(task)) continue
      if (task.outputs === undefined) failures.set(task, HELD)
      for (const output of task.outputs ?? []) {
        outputs.push(output)
        owners.push(task)
      }
    }
    return write(outputs, owners)
  }
}

/**
 * The delay that a sink asks for, within bounds: at least the backoff, so that `Retry-After: 0` does not cause a busy
 * loop, and at most the longest delay.
 */
function waitBefore(attempt: number, askedMs: number | undefined, retry: RetryPolicy): number {
  const ownMs = backoffMs(attempt, retry)
  return askedMs !== undefined && askedMs > ownMs ? Math.min(askedMs, retry.maxMs) : ownMs
}

function oursOf(runs: readonly Run[]): readonly Run[] {
  return runs.flatMap(({ ours }) => ours ?? [])
}

function tasksOf(runs: readonly Run[]): readonly Task[] {
  return runs.length === 1 ? (runs[0] as Run).tasks : runs.flatMap(({ tasks }) => tasks)
}

function picked(tasks: Task[]): readonly Run[] {
  return tasks.length === 0 ? [] : [new Picked(tasks)]
}

function countOf(runs: readonly Run[]): number {
  return runs.reduce((sum, { length }) => sum + length, 0)
}

/** @param owners the task of each index in `failed`. */
function byTask(failed: readonly Failure[], owners: readonly Task[]): Failures {
  return new Map(
    failed.flatMap(({ index, reason, retryable }) => {
      const task = owners[index]
      return task === undefined ? [] : [[task, { reason, retryable }] as const]
    }),
  )
}

/** For an event that was not tried, because it must not overtake an earlier failed event with the same key. */
const HELD = { reason: 'waits for an earlier event with the same key', retryable: true }

function deadLetter(task: Task, reason: string): DeadLetter {
  const { json, letter, attempts } = task
  const { offset } = letter ?? task
  return { json, offset, attempts, reason: reason.slice(0, MAX_REASON_CHARACTERS), failedAt: new Date().toISOString() }
}
