/**
 * What lanes work on: runs of events on their way to one sink, and each event alone once something is to be said of it.
 */
import { type Block, Item, linesOf } from '../event/item.ts'
import type { DeadLetter } from './dead-letters.ts'
import type { PartitionProgress } from './progress.ts'

export class Task extends Item {
  /** What it is settled in; undefined for a replayed dead letter, which moves no offset. */
  readonly progress: PartitionProgress | undefined
  /** What is replayed, and undefined the first time. */
  readonly letter: DeadLetter | undefined
  /** Why it cannot be delivered at all: its filter threw. */
  readonly fault: string | undefined
  /** Attempts that failed for reasons of its own. */
  attempts = 0
  /** What the handlers made of it; undefined until they ran. */
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
  /** What they take, about. */
  readonly bytes: number
  /** The same objects each time. */
  readonly tasks: readonly Task[]
  readonly lines: readonly Buffer[]
  /** Whether a filter threw for one of them. */
  readonly isFaulty: boolean
  /** Where the first and the last of them were read. */
  readonly firstOffset: number
  readonly lastOffset: number
  /** What they are settled in. */
  readonly progress: PartitionProgress | undefined
  /** Those that are not another process's by now. */
  readonly ours: Run | undefined
}

/** Events of a block, from `first` to before `end`, of which nobody has looked at one yet. */
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

/** Events that were picked one by one, at least one. */
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
