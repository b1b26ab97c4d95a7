/** What lanes work on: an event on its way to one sink, and runs of them. */
import { type Block, Item } from '../event/item.ts'
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

/** Events of one group that go to the same lane together, in order. */
export class Run {
  readonly tasks: Task[] = []
  bytes = 0
  /** That of each task. */
  readonly progress: PartitionProgress | undefined

  constructor(progress: PartitionProgress | undefined) {
    this.progress = progress
  }

  add(task: Task): void {
    this.tasks.push(task)
    this.bytes += task.bytes
  }
}

/** What another process delivers now is not delivered here as well. */
export function isOurs({ progress }: Task | Run): boolean {
  return progress?.revoked !== true
}
