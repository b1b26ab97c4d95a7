/** A sink of your own: prints each event on standard error. Replace it, or remove it with its route and its test. */
import type { Sink, SinkBatch } from 'millrace'

export class ConsoleSink implements Sink {
  readonly concurrency = 1
  readonly maxBatchEvents = 100
  readonly #print: (line: string) => void

  /** @param print takes one event as JSON. Default: standard error, as standard output has the log of the service. */
  constructor(print: (line: string) => void = (line) => console.error(line)) {
    this.#print = print
  }

  async write({ items }: SinkBatch): Promise<undefined> {
    for (const { event } of items) this.#print(JSON.stringify(event))
  }

  async close(): Promise<void> {}
}
