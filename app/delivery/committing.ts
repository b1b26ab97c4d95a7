/**
 * Commits the offset of each partition below which everything is settled, once the sink has made its events durable.
 *
 * At rest it commits at once, under load at intervals: a commit costs a sync, and other writes wait for that. So a
 * commit is at most COMMIT_EVERY_MS late. After a crash, that much is repeated; nothing is skipped.
 */
import { messageOf } from '../errors.ts'
import type { Consumer, Position } from '../log/log.ts'
import type { Sink } from '../sinks/sink.ts'
import type { PartitionProgress } from './progress.ts'

export interface CommittingOptions {
  /** Name of the delivery, for warnings. */
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

  /** Positions that are settled but not committed yet. */
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

  /**
   * Commits now, one call at a time, so that nothing counts twice.
   * @returns whether all settled events are committed.
   */
  now(): Promise<boolean> {
    this.#last = this.#last.then(() => this.#commit())
    return this.#last
  }

  /** Stops the automatic commits. */
  stop(): void {
    clearTimeout(this.#timer)
  }

  async #commit(): Promise<boolean> {
    const { name, consumer, sink, partitions, onWarning, onCommitted } = this.#options
    // Do not count events again that are already durable, for example by a commit that failed after its write.
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
