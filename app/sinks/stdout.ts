/** The stdout sink: complete CloudEvents as NDJSON on standard output, for pipes. The process logs to stderr then. */
import type { Writable } from 'node:stream'
import { type Sink, type SinkBatch, SinkUnavailable } from './sink.ts'

const MAX_BATCH_EVENTS = 1024

export class StdoutSink implements Sink {
  readonly concurrency = 1
  readonly maxBatchEvents = MAX_BATCH_EVENTS
  readonly #stream: Writable

  constructor(stream: Writable = process.stdout) {
    this.#stream = stream
    // If the reader has gone (EPIPE), the callback of the next write gets the error. Without this listener, the error
    // would also end the process.
    stream.on('error', () => undefined)
  }

  /** Resolves when the pipe has accepted the lines. */
  write({ lines }: Pick<SinkBatch, 'lines'>, signal?: AbortSignal): Promise<undefined> {
    return new Promise((resolve, reject) => {
      // A reader that does not read must not keep the process from stopping.
      const stop = () => reject(new SinkUnavailable('standard output has not taken everything'))
      if (signal?.aborted) return stop()
      signal?.addEventListener('abort', stop, { once: true })
      this.#stream.write(Buffer.concat(lines), (cause) => {
        signal?.removeEventListener('abort', stop)
        if (cause) reject(new SinkUnavailable(`standard output takes nothing (${cause.message})`, { cause }))
        else resolve(undefined)
      })
    })
  }

  async close(): Promise<void> {}
}
