/**
 * A histogram without labels for the hot path: an observation is a search in a short array and two additions. The
 * histogram of prom-client looks up labels and allocates for every observation. That cost more than all other metrics
 * together (docs/decisions/0008-monitoring.md). The registry of prom-client prints this one like its own.
 */
import type { Metric, Registry } from 'prom-client'

interface Description {
  readonly name: string
  readonly help: string
  /** Upper bounds, ascending. */
  readonly buckets: readonly number[]
  readonly registers: readonly Registry[]
}

export interface Bucket {
  readonly upTo: number
  /** Number of observations in this bucket and all lower ones. */
  readonly count: number
}

export class PlainHistogram {
  readonly name: string
  readonly help: string
  readonly type = 'histogram'
  readonly #bounds: Float64Array
  /** The number of observations in each bucket, the number above all bounds, and the sum of all values. */
  readonly #cells: Float64Array
  readonly #included: PlainHistogram[] = []

  /** How many numbers a histogram with these buckets needs. */
  static cells(buckets: readonly number[]): number {
    return buckets.length + 2
  }

  /** @param cells memory for the counts. Default: new memory. */
  constructor({ name, help, buckets, registers }: Description, cells?: Float64Array) {
    this.name = name
    this.help = help
    this.#bounds = Float64Array.from(buckets)
    this.#cells = cells ?? new Float64Array(PlainHistogram.cells(buckets))
    // The registry uses only the name and get() of a metric, although its type wants the classes of prom-client.
    for (const registry of registers) registry.registerMetric(this as unknown as Metric)
  }

  observe(value: number): void {
    let at = 0
    // The array is short, and most values are in the first buckets: a binary search would not be faster.
    while (at < this.#bounds.length && value > (this.#bounds[at] as number)) at += 1
    const cells = this.#cells
    cells[at] = (cells[at] as number) + 1
    const sum = cells.length - 1
    cells[sum] = (cells[sum] as number) + value
  }

  /** Includes the counts of `other`, which must have the same buckets, in every later read. */
  include(other: PlainHistogram): void {
    this.#included.push(other)
  }

  /** Cumulative buckets; the last bound is infinity. */
  buckets(): Bucket[] {
    let count = 0
    return Array.from({ length: this.#bounds.length + 1 }, (_, at) => {
      count += this.#read(at)
      return { upTo: this.#bounds[at] ?? Number.POSITIVE_INFINITY, count }
    })
  }

  /** The values that the registry prints: cumulative buckets, sum and count. */
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
