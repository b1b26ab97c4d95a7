/** Runs the handlers over one batch: several events at the same time, never two with the same key, results in order. */
import { messageOf } from '../errors.ts'
import { writeEvent } from '../event/complete.ts'
import { type Item, itemOf } from '../event/item.ts'
import { type Event, validate } from '../event.ts'
import type { Handler } from '../handlers/handler.ts'
import { exactText } from './exact.ts'
import type { Task } from './task.ts'

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
    const { key } = task
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
          break // later events with the same key must wait
        }
      }
    }
  }
  await Promise.all(Array.from({ length: Math.min(options.concurrency, chains.size) }, worker))
  return failures
}

async function runHandlers(task: Task, options: HandleOptions): Promise<readonly Item[]> {
  const context = { attempt: task.attempts + 1, sink: options.sink, signal: options.signal }
  let events: readonly Event[] = [task.attempts === 0 ? task.event : task.parse()]
  for (const handler of options.handlers) {
    const next: Event[] = []
    for (const event of events) {
      const result = await handler(event, context)
      if (Array.isArray(result)) next.push(...result)
      else if (result !== undefined) next.push(result as Event)
    }
    events = next
  }
  return events.map((event) => outputOf(event, task))
}

/**
 * @throws Error when a handler returned something that is not an event. Otherwise the error would appear in the sink
 *   and look like the sink's fault.
 */
function outputOf(event: Event, task: Task): Item {
  if (inJson(() => JSON.stringify(event)) === task.text) return task
  const reason = validate(event, 'strict')
  if (reason !== undefined) throw new Error(`a handler returned something that is not an event: ${reason}`)
  const { data, ...attributes } = event
  const line = inJson(() => writeEvent(attributes, data === undefined ? undefined : exactText(data, task.data)))
  return itemOf(line, { logId: task.logId, baseOffset: task.offset, appendedAtMs: task.appendedAtMs })
}

function inJson<T>(write: () => T): T {
  try {
    return write()
  } catch (cause) {
    throw new Error(`a handler returned what JSON cannot hold: ${messageOf(cause)}`, { cause })
  }
}
