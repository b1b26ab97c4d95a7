/**
 * Handlers on worker threads, for those that keep a CPU busy: in the main thread every request would wait for them.
 *
 *     call ─▶ a free thread (first come, first served) ─(event, copied)─▶ worker.ts ─(result, copied)─▶
 *
 * A call past its time ends its thread, whatever that is doing, and another one is started.
 */
import pLimit from 'p-limit'
import { Piscina } from 'piscina'
import { messageOf } from '../errors.ts'
import type { Handler, HandlerContext } from './handler.ts'
import { withTimeLimit } from './time-limit.ts'

export interface Call {
  readonly name: string
  readonly event: Parameters<Handler>[0]
  readonly context: Omit<HandlerContext, 'signal'>
}

export class HandlerThreads {
  readonly #pool: Piscina<Call, Awaited<ReturnType<Handler>>>
  /** As many calls at once as there are threads: the time of a call begins when it runs, not when it queues. */
  readonly #limit: ReturnType<typeof pLimit>

  /**
   * @param configPath of the file that has the handlers: each thread loads it for itself.
   * @param onWarning told when a thread ended by itself, such as by a timer that a handler had left behind; another one is there.
   */
  constructor(threads: number, configPath: string, onWarning: (message: string) => void) {
    this.#pool = new Piscina({
      filename: new URL('./worker.ts', import.meta.url).href,
      workerData: configPath,
      minThreads: threads,
      maxThreads: threads,
      // A thread that waits for its next call goes on with its own timers and sockets.
      atomics: 'disabled',
    })
    this.#pool.on('error', (error) => onWarning(`a thread of handlers ended between two calls: ${messageOf(error)}`))
    this.#limit = pLimit(threads)
  }

  /** The handler with this name in the config file, on a thread. */
  handler(name: string, timeoutMs: number): Handler {
    const call: Handler = (event, { attempt, sink, signal }) =>
      this.#pool.run({ name, event, context: { attempt, sink } }, { signal })
    const limited = withTimeLimit(call, timeoutMs, name)
    return (event, context) =>
      this.#limit(async () => {
        // At a stop every call that runs ends at once, so one that queues is here in a moment.
        context.signal.throwIfAborted()
        return limited(event, context)
      })
  }

  close(): Promise<void> {
    return this.#pool.destroy()
  }
}
