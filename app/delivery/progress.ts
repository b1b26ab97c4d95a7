/**
 * How far a delivery has come in one partition of the log. Events of a partition go to several lanes and are settled
 * out of order. Each lane settles its own events in order. So the partition is settled up to the lowest unsettled
 * offset of all lanes.
 */
import type { Group, Position } from '../log/log.ts'

export class PartitionProgress {
  readonly partition: number
  readonly logId: string
  /** Offset of the next event to hand to a lane. */
  next: number
  /** Another process has the partition now: events that are queued here are not delivered. */
  revoked = false
  /** For each lane: events sent to it and not settled, and the offset before which it has settled everything. */
  readonly #pending: number[]
  readonly #floor: number[]
  /** Offsets of dead letters that are not committed yet. */
  #deadLettered: number[] = []
  #damaged: number[] = []

  constructor({ partition, logId }: Pick<Group, 'partition' | 'logId'>, next: number, lanes: number) {
    this.partition = partition
    this.logId = logId
    this.next = next
    this.#pending = new Array(lanes).fill(0)
    this.#floor = new Array(lanes).fill(next)
  }

  /** @param offset offset of the first of `count` events. */
  begin(lane: number, offset: number, count = 1): void {
    if (this.#pending[lane] === 0) this.#floor[lane] = offset
    this.#pending[lane] = (this.#pending[lane] as number) + count
  }

  /** Settles the next `count` events of a lane; the last one is at `offset`. */
  settle(lane: number, offset: number, count = 1): void {
    this.#pending[lane] = (this.#pending[lane] as number) - count
    this.#floor[lane] = Math.max(offset + 1, this.#floor[lane] as number)
  }

  deadLetter(offset: number): void {
    this.#deadLettered.push(offset)
  }

  stepOver(offset: number): void {
    this.#damaged.push(offset)
  }

  get isIdle(): boolean {
    return this.#pending.every((pending) => pending === 0)
  }

  /** The position before which everything is settled. */
  get position(): Position {
    let offset = this.next
    for (const [lane, pending] of this.#pending.entries()) {
      if (pending > 0) offset = Math.min(offset, this.#floor[lane] as number)
    }
    const before = (settled: readonly number[]) => settled.filter((at) => at < offset).length
    return {
      partition: this.partition,
      offset,
      deadLettered: before(this.#deadLettered),
      damaged: before(this.#damaged),
    }
  }

  /** Notes that a commit has recorded everything before `offset`, so that it is not counted again. */
  committed(offset: number): void {
    this.#deadLettered = this.#deadLettered.filter((at) => at >= offset)
    this.#damaged = this.#damaged.filter((at) => at >= offset)
  }
}
