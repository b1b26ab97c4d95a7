/** Runs the handlers over one batch: several events at once, never two with the same key, results in order. */
import { type Event, keyOf, validate } from '../event.ts'
import type { Handler } from '../handlers/handler.ts'
import type { Delivery } from './lane.ts'

export interface HandleOptions {
  readonly handlers: readonly Handler[]
  readonly concurrency: number
  readonly sink: string
  readonly signal: AbortSignal
}

/** Failed deliveries with the reason; every other delivery has its `outputs` set. */
export type HandleFailures = Map<Delivery, string>

export async function handleBatch(batch: readonly Delivery[], options: HandleOptions): Promise<HandleFailures> {
  const failures: HandleFailures = new Map()
  const chains = new Map<string, Delivery[]>()
  for (const delivery of batch) {
    const key = keyOf(delivery.event)
    const chain = chains.get(key)
    if (chain) chain.push(delivery)
    else chains.set(key, [delivery])
  }
  const waiting = chains.values()
  const worker = async () => {
    for (const chain of waiting) {
      for (const delivery of chain) {
        if (options.signal.aborted) return
        try {
          delivery.outputs ??= await runHandlers(delivery, options)
        } catch (error) {
          failures.set(delivery, error instanceof Error ? (error.stack ?? error.message) : String(error))
          break // what has the same key waits behind it
        }
      }
    }
  }
  await Promise.all(Array.from({ length: Math.min(options.concurrency, chains.size) }, worker))
  return failures
}

async function runHandlers(delivery: Delivery, { handlers, sink, signal }: HandleOptions): Promise<readonly Event[]> {
  const context = { attempt: delivery.attempts + 1, sink, signal }
  let events: readonly Event[] = [delivery.event]
  for (const handler of handlers) {
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
  }
  return events
}
