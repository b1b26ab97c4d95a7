/**
 * A histogram without labels for the hot path: an observation is a search in a short array and two additions.
 * prom-client's own looks its labels up and allocates for every observation, which cost more than all other metrics
 * together (docs/decisions/0008-monitoring.md). Its registry prints this one like its own.
 */
import type { Metric, Registry } from 'prom-client'

interface Description {
  readonly name: string
  readonly help: string
  /** Upper bounds, rising. */
  readonly buckets: readonly number[]
  readonly registers: readonly Registry[]
}

export interface Bucket {
  readonly upTo: number
  /** Observations of all buckets up to this one. */
  readonly count: number
}

export class PlainHistogram {
  readonly name: string
  readonly help: string
  readonly type = 'histogram'
  readonly #bounds: Float64Array
  /** Observations up to each bound and above the one before; the last place is for those above all. */
  readonly #counts: Float64Array
  #sum = 0

  constructor({ name, help, buckets, registers }: Description) {
    this.name = name
    this.help = help
    this.#bounds = Float64Array.from(buckets)
    this.#counts = new Float64Array(buckets.length + 1)
    // The registry asks a metric for its name and for get(); its type wants the classes of prom-client.
    for (const registry of registers) registry.registerMetric(this as unknown as Metric)
  }

  observe(value: number): void {
    let at = 0
    // Short, and most values are in the first buckets: a binary search would not be faster.
    while (at < this.#bounds.length && value > (this.#bounds[at] as number)) at += 1
    this.#counts[at] = (this.#counts[at] as number) + 1
    this.#sum += value
  }

  /** Observations up to each bound, the last being infinity. */
  buckets(): Bucket[] {
    let count = 0
    return Array.from(this.#counts, (counted, at) => {
      count += counted
      return { upTo: this.#bounds[at] ?? Number.POSITIVE_INFINITY, count }
    })
  }

  /** What the registry prints: cumulative buckets, sum and count. */
  get() {
    const cumulative = this.buckets()
    const count = cumulative.at(-1)?.count ?? 0
    const buckets = cumulative.map(({ upTo, count }) => {
      const le = Number.isFinite(upTo) ? upTo : '+Inf'
      return { metricName: `${this.name}_bucket`, labels: { le }, value: count }
    })
    const values = [
      ...buckets,
      { metricName: `${this.name}_sum`, labels: {}, value: this.#sum },
      { metricName: `${this.name}_count`, labels: {}, value: count },
    ]
    return { name: this.name, help: this.help, type: this.type, aggregator: 'sum', values }
  }
}
