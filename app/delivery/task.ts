/**
 * The work of lanes: runs of events for one sink. An event gets its own task object only when it is handled separately,
 * for example after a failure.
 */
import { type Block, Item, linesOf } from '../event/item.ts'
import type { DeadLetter } from './dead-letters.ts'
import type { PartitionProgress } from './progress.ts'

export class Task extends Item {
  /** Progress of its partition; undefined for a replayed dead letter, which moves no offset. */
  readonly progress: PartitionProgress | undefined
  /** The replayed dead letter; undefined for a first delivery. */
  readonly letter: DeadLetter | undefined
  /** The error of its filter: then it cannot be delivered. */
  readonly fault: string | undefined
  /** Failed attempts that were about this event. */
  attempts = 0
  /** The results of the handlers; undefined until they have run. */
  outputs: readonly Item[] | undefined = undefined

  constructor(block: Block, index: number, progress?: PartitionProgress, fault?: string, letter?: DeadLetter) {
    super(block, index)
    this.progress = progress
    this.fault = fault
    this.letter = letter
  }
}

/** Events that go to the same lane together, in order. */
export interface Run {
  readonly length: number
  /** Approximate size. */
  readonly bytes: number
  /** The tasks: always the same objects. */
  readonly tasks: readonly Task[]
  readonly lines: readonly Buffer[]
  /** Whether the filter threw for one of the events. */
  readonly isFaulty: boolean
  /** Offsets of the first and the last event. */
  readonly firstOffset: number
  readonly lastOffset: number
  /** Progress of their partition. */
  readonly progress: PartitionProgress | undefined
  /** The events whose partitions still belong to this process. */
  readonly ours: Run | undefined
}

/** Events `first` to `end` (exclusive) of a block, none of which is parsed yet. */
export class Stretch implements Run {
  readonly progress: PartitionProgress | undefined
  readonly isFaulty = false
  readonly #block: Block
  readonly #first: number
  readonly #end: number
  #tasks: readonly Task[] | undefined

  constructor(block: Block, first: number, end: number, progress: PartitionProgress | undefined) {
    this.#block = block
    this.#first = first
    this.#end = end
    this.progress = progress
  }

  get length(): number {
    return this.#end - this.#first
  }

  get bytes(): number {
    return Math.ceil((this.length / this.#block.count) * this.#block.bytes)
  }

  get tasks(): readonly Task[] {
    this.#tasks ??= Array.from({ length: this.length }, (_, at) => {
      return new Task(this.#block, this.#first + at, this.progress)
    })
    return this.#tasks
  }

  get lines(): readonly Buffer[] {
    return [this.#block.slice(this.#first, this.#end)]
  }

  get firstOffset(): number {
    return this.#block.origin.baseOffset + this.#first
  }

  get lastOffset(): number {
    return this.#block.origin.baseOffset + this.#end - 1
  }

  get ours(): Run | undefined {
    return this.progress?.revoked === true ? undefined : this
  }
}

/** Events that were selected one by one, at least one. */
export class Picked implements Run {
  readonly tasks: Task[]

  constructor(tasks: Task[]) {
    this.tasks = tasks
  }

  get length(): number {
    return this.tasks.length
  }

  get bytes(): number {
    return this.length * this.#first.bytes
  }

  get lines(): readonly Buffer[] {
    return linesOf(this.tasks)
  }

  get isFaulty(): boolean {
    return this.tasks.some(({ fault }) => fault !== undefined)
  }

  get firstOffset(): number {
    return this.#first.offset
  }

  get lastOffset(): number {
    return (this.tasks.at(-1) as Task).offset
  }

  get progress(): PartitionProgress | undefined {
    return this.#first.progress
  }

  get ours(): Run | undefined {
    const tasks = this.tasks.filter(({ progress }) => progress?.revoked !== true)
    if (tasks.length === this.tasks.length) return this
    return tasks.length === 0 ? undefined : new Picked(tasks)
  }

  get #first(): Task {
    return this.tasks[0] as Task
  }
}
