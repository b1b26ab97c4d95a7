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
  /** Observations up to each bound and above the one before; then those above all, and the sum of all values. */
  readonly #cells: Float64Array
  readonly #included: PlainHistogram[] = []

  /** Numbers that one with these buckets is made of. */
  static cells(buckets: readonly number[]): number {
    return buckets.length + 2
  }

  /** @param cells where it counts. Default: memory of its own. */
  constructor({ name, help, buckets, registers }: Description, cells?: Float64Array) {
    this.name = name
    this.help = help
    this.#bounds = Float64Array.from(buckets)
    this.#cells = cells ?? new Float64Array(PlainHistogram.cells(buckets))
    // The registry asks a metric for its name and for get(); its type wants the classes of prom-client.
    for (const registry of registers) registry.registerMetric(this as unknown as Metric)
  }

  observe(value: number): void {
    let at = 0
    // Short, and most values are in the first buckets: a binary search would not be faster.
    while (at < this.#bounds.length && value > (this.#bounds[at] as number)) at += 1
    const cells = this.#cells
    cells[at] = (cells[at] as number) + 1
    const sum = cells.length - 1
    cells[sum] = (cells[sum] as number) + value
  }

  /** From now on what `other`, which has the same buckets, counts is read here as well. */
  include(other: PlainHistogram): void {
    this.#included.push(other)
  }

  /** Observations up to each bound, the last being infinity. */
  buckets(): Bucket[] {
    let count = 0
    return Array.from({ length: this.#bounds.length + 1 }, (_, at) => {
      count += this.#read(at)
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
      { metricName: `${this.name}_sum`, labels: {}, value: this.#read(this.#cells.length - 1) },
      { metricName: `${this.name}_count`, labels: {}, value: count },
    ]
    return { name: this.name, help: this.help, type: this.type, aggregator: 'sum', values }
  }

  #read(at: number): number {
    return this.#included.reduce((sum, other) => sum + (other.#cells[at] as number), this.#cells[at] as number)
  }
}
