/**
 * Runs handlers on worker threads, for handlers that keep a CPU busy: in the main thread, every request would wait.
 *
 *     call ─▶ a free thread (first come, first served) ─(event, copied)─▶ worker.ts ─(result, copied)─▶
 *
 * A call that exceeds its time limit ends its thread, and a new thread starts.
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
  /** Limits the calls to the number of threads, so that the time of a call starts when it runs, not when it queues. */
  readonly #limit: ReturnType<typeof pLimit>

  /**
   * @param configPath path of the config file with the handlers; each thread loads it itself.
   * @param onWarning called when a thread ended by itself, for example by a timer that a handler left behind. A new
   *   thread replaces it.
   */
  constructor(threads: number, configPath: string, onWarning: (message: string) => void) {
    this.#pool = new Piscina({
      filename: new URL('./worker.ts', import.meta.url).href,
      workerData: configPath,
      minThreads: threads,
      maxThreads: threads,
      // Do not block the thread between calls, so that its own timers and sockets go on.
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
        // At a stop, running calls end at once, so a queued call arrives here soon.
        context.signal.throwIfAborted()
        return limited(event, context)
      })
  }

  close(): Promise<void> {
    return this.#pool.destroy()
  }
}
