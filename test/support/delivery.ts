/** A delivery over real logs, and a sink that does what the test says. */
import { join } from 'node:path'
import type { RetryPolicy } from '../../app/delivery/backoff.ts'
import { Delivery } from '../../app/delivery/delivery.ts'
import type { Event } from '../../app/event.ts'
import type { Filter, Handler } from '../../app/handlers/handler.ts'
import { withTimeLimit } from '../../app/handlers/time-limit.ts'
import { EmbeddedLog } from '../../app/log/embedded/embedded-log.ts'
import type { Failure, Sink, SinkBatch } from '../../app/sinks/sink.ts'

export function openLog(directory: string, options: { maxBytes?: number } = {}): Promise<EmbeddedLog> {
  return EmbeddedLog.open({
    directory,
    segmentBytes: 64 * 1024,
    maxBytes: 16 * 1024 * 1024,
    retentionMs: 0,
    ...options,
  })
}

export type Behaviour = (events: readonly Event[]) => Promise<readonly Failure[] | undefined>

/** Remembers what it took, in order. */
export class ScriptedSink implements Sink {
  readonly name: string
  readonly concurrency: number
  readonly maxBatchEvents: number
  readonly taken: Event[] = []
  behaviour: Behaviour = async () => undefined
  flushes = 0
  flushedUpTo = 0

  constructor({ name = 'scripted', concurrency = 1, maxBatchEvents = 100 } = {}) {
    this.name = name
    this.concurrency = concurrency
    this.maxBatchEvents = maxBatchEvents
  }

  async write({ items }: SinkBatch): Promise<readonly Failure[] | undefined> {
    const events = items.map(({ event }) => event)
    const failures = await this.behaviour(events)
    const failed = new Set(failures?.map(({ index }) => index))
    this.taken.push(...events.filter((_, index) => !failed.has(index)))
    return failures
  }

  async flush(): Promise<void> {
    this.flushes += 1
    this.flushedUpTo = this.taken.length
  }

  async close(): Promise<void> {}

  get ids(): string[] {
    return this.taken.map(({ id }) => id)
  }
}

/** Takes everything and makes it durable only when told to. */
export class GatheringSink extends ScriptedSink {
  /** `logId offset` of what it was given. */
  readonly places: string[] = []
  failure: string | undefined
  #durable = Promise.withResolvers<void>()

  override async write(batch: SinkBatch): Promise<readonly Failure[] | undefined> {
    this.places.push(...batch.items.map(({ logId, offset }) => `${logId} ${offset}`))
    return super.write(batch)
  }

  durable(): Promise<void> {
    return this.#durable.promise
  }

  override async flush(): Promise<void> {
    if (this.failure !== undefined) return this.#durable.promise
    this.#durable.resolve()
    this.#durable = Promise.withResolvers()
  }
}

export const QUICK: RetryPolicy = { baseMs: 1, maxMs: 4, maxAttempts: 3 }

export interface Rig {
  readonly log: EmbeddedLog
  readonly delivery: Delivery
  readonly warnings: string[]
  /** Closes delivery and log; whether the delivery had settled everything it had begun. */
  close(drainMs?: number): Promise<boolean>
}

export async function startDelivery(
  directory: string,
  sink: Sink & { readonly name: string },
  options: {
    filter?: Filter
    handlers?: Handler[]
    retry?: RetryPolicy
    log?: EmbeddedLog
    deadLetterMaxBytes?: number
    /** Default: 1 MiB. */
    laneBytes?: number
    /** Default: true; else the test does it. */
    start?: boolean
    handlerTimeoutMs?: number
  } = {},
): Promise<Rig> {
  const log = options.log ?? (await openLog(join(directory, 'log')))
  const warnings: string[] = []
  const { deadLetterMaxBytes } = options
  const delivery = await Delivery.open({
    name: sink.name,
    log,
    filter: options.filter,
    sink,
    deadLetterLog: await openLog(
      join(directory, 'dead', sink.name),
      deadLetterMaxBytes ? { maxBytes: deadLetterMaxBytes } : {},
    ),
    handlers: (options.handlers ?? []).map((handler) => withTimeLimit(handler, options.handlerTimeoutMs ?? 30_000)),
    handlerConcurrency: 4,
    retry: options.retry ?? QUICK,
    laneBytes: options.laneBytes ?? 1024 * 1024,
    onWarning: (message) => warnings.push(message),
  })
  if (options.start ?? true) delivery.start()
  return {
    log,
    delivery,
    warnings,
    close: async (drainMs = 2000) => {
      const settled = await delivery.close(drainMs)
      if (options.log === undefined) await log.close()
      return settled
    },
  }
}

/** Events `from`…`to - 1`, each with its number as id, spread over `keys` subjects. */
export function numbered(from: number, to: number, keys = 3): { payload: Buffer; count: number } {
  const lines = Array.from({ length: to - from }, (_, at) =>
    JSON.stringify({ id: from + at, subject: `k${(from + at) % keys}`, data: from + at }),
  )
  return { payload: Buffer.from(lines.join('\n')), count: lines.length }
}
