/**
 * Commits the offset of each partition below which everything is settled, once the sink has made durable what it took.
 *
 * At rest at once, under load at intervals: a commit costs a sync, which the writes of others wait for. So it is at most
 * COMMIT_EVERY_MS behind: that much is repeated after a crash, nothing is skipped.
 */
import { messageOf } from '../errors.ts'
import type { Consumer, Position } from '../log/log.ts'
import type { Sink } from '../sinks/sink.ts'
import type { PartitionProgress } from './progress.ts'

export interface CommittingOptions {
  /** Of the delivery, for warnings. */
  readonly name: string
  readonly consumer: Consumer
  readonly sink: Sink
  readonly partitions: ReadonlyMap<number, PartitionProgress>
  readonly onWarning: (message: string) => void
  readonly onCommitted: () => void
}

const COMMIT_EVERY_MS = 500

export class Committing {
  readonly #options: CommittingOptions
  #timer: NodeJS.Timeout | undefined
  #lastMs = Number.NEGATIVE_INFINITY
  #failing = false
  #last = Promise.resolve(true)

  constructor(options: CommittingOptions) {
    this.#options = options
  }

  /** What is settled and not committed yet. */
  get uncommitted(): Position[] {
    const { partitions, consumer } = this.#options
    return [...partitions.values()]
      .map((progress) => progress.position)
      .filter(({ partition, offset }) => offset > consumer.committedOffset(partition))
  }

  soon(): void {
    if (this.#timer !== undefined) return
    const waitMs = Math.max(0, this.#lastMs + COMMIT_EVERY_MS - performance.now())
    this.#timer = setTimeout(() => {
      this.now().then(() => {
        this.#timer = undefined
        if (this.uncommitted.length > 0) this.soon()
      })
    }, waitMs)
  }

  /** One at a time, so that nothing is counted twice; whether everything settled by now is committed. */
  now(): Promise<boolean> {
    this.#last = this.#last.then(() => this.#commit())
    return this.#last
  }

  /** Nothing is committed by itself any more. */
  stop(): void {
    clearTimeout(this.#timer)
  }

  async #commit(): Promise<boolean> {
    const { name, consumer, sink, partitions, onWarning, onCommitted } = this.#options
    // What is durable already, perhaps by a commit that failed afterwards, is not counted again.
    for (const progress of partitions.values()) progress.committed(consumer.committedOffset(progress.partition))
    const positions = this.uncommitted
    if (positions.length === 0) return true
    this.#lastMs = performance.now()
    try {
      if (sink.durable === undefined) await sink.flush?.()
      await consumer.commit(positions)
      this.#failing = false
      onCommitted()
      return true
    } catch (error) {
      if (!this.#failing) {
        onWarning(`sink ${name}: its offsets cannot be committed, trying again: ${messageOf(error)}`)
      }
      this.#failing = true
      return false
    }
  }
}
