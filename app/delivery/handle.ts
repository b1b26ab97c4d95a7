/** Runs the handlers over one batch: several events at once, never two with the same key, results in order. */
import { messageOf } from '../errors.ts'
import { type Event, keyOf, validate } from '../event.ts'
import type { Handler } from '../handlers/handler.ts'
import type { Item } from '../sinks/sink.ts'
import type { DeadLetter } from './dead-letters.ts'
import type { PartitionProgress } from './progress.ts'

/** One event on its way to one sink. */
export interface Task extends Item {
  /** What it is settled in; undefined for a replayed dead letter, which moves no offset. */
  readonly progress: PartitionProgress | undefined
  /** What is replayed, and undefined the first time. */
  readonly letter: DeadLetter | undefined
  readonly bytes: number
  /** Why it cannot be delivered at all: its filter threw. */
  readonly fault: string | undefined
  /** Attempts that failed for reasons of its own. */
  attempts: number
  /** What the handlers made of it; undefined until they ran. */
  outputs: readonly Event[] | undefined
}

export interface HandleOptions {
  readonly handlers: readonly Handler[]
  readonly concurrency: number
  readonly sink: string
  readonly signal: AbortSignal
}

/** Failed tasks with the reason; every other task has its `outputs` set. */
export type HandleFailures = Map<Task, string>

export async function handleBatch(batch: readonly Task[], options: HandleOptions): Promise<HandleFailures> {
  const failures: HandleFailures = new Map()
  const chains = new Map<string, Task[]>()
  for (const task of batch) {
    const key = keyOf(task.event)
    const chain = chains.get(key)
    if (chain) chain.push(task)
    else chains.set(key, [task])
  }
  const waiting = chains.values()
  const worker = async () => {
    for (const chain of waiting) {
      for (const task of chain) {
        if (options.signal.aborted) return
        try {
          task.outputs ??= await runHandlers(task, options)
        } catch (error) {
          failures.set(task, error instanceof Error ? (error.stack ?? error.message) : String(error))
          break // what has the same key waits behind it
        }
      }
    }
  }
  await Promise.all(Array.from({ length: Math.min(options.concurrency, chains.size) }, worker))
  return failures
}

async function runHandlers(task: Task, options: HandleOptions): Promise<readonly Event[]> {
  const context = { attempt: task.attempts + 1, sink: options.sink, signal: options.signal }
  let events: readonly Event[] = [task.event]
  for (const handler of options.handlers) {
    const next: Event[] = []
    for (const event of events) {
      const result = await handler(event, context)
      if (Array.isArray(result)) next.push(...result)
      else if (result !== undefined) next.push(result as Event)
    }
    events = next
  }
  for (const event of events) {
    const reason = validate(event, 'strict')
    if (reason !== undefined) throw new Error(`a handler returned something that is not an event: ${reason}`)
    if (event !== task.event) requireJson(event)
  }
  return events
}

/** What only the sink noticed would look like a fault of the sink, and hold up everything behind it. */
function requireJson(event: Event): void {
  try {
    JSON.stringify(event)
  } catch (cause) {
    throw new Error(`a handler returned what JSON cannot hold: ${messageOf(cause)}`, { cause })
  }
}
