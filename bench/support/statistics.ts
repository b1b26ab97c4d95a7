/** Figures of several rounds, and what may be said about them. */

export interface Summary {
  readonly median: number
  readonly minimum: number
  readonly maximum: number
}

/** @returns NaN of nothing, like the others here. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length / 2
  const upper = sorted[Math.floor(middle)] ?? Number.NaN
  return Number.isInteger(middle) ? ((sorted[middle - 1] ?? Number.NaN) + upper) / 2 : upper
}

/**
 * The smallest value that at least `share` of all do not exceed (nearest rank): always one that was measured.
 * @param sorted rising.
 */
export function quantile(sorted: ArrayLike<number>, share: number): number {
  const rank = Math.max(1, Math.ceil(share * sorted.length))
  return sorted[rank - 1] ?? Number.NaN
}

export function summarise(values: readonly number[]): Summary {
  if (values.length === 0) return { median: Number.NaN, minimum: Number.NaN, maximum: Number.NaN }
  return { median: median(values), minimum: Math.min(...values), maximum: Math.max(...values) }
}

/** Round by round, so that what slowed the machine down in one is in both sides of it. */
export function ratios(of: readonly number[], to: readonly number[]): number[] {
  return of.slice(0, to.length).map((value, round) => value / (to[round] ?? Number.NaN))
}

/** The median of the slopes between all pairs (Theil and Sen): a few outliers, such as a collected heap, do not move it. */
export function slope(points: readonly (readonly [x: number, y: number])[]): number {
  const slopes = points.flatMap(([x1, y1], at) => points.slice(at + 1).map(([x2, y2]) => (y2 - y1) / (x2 - x1)))
  return median(slopes)
}

/** Everyone once a round, each round begun by another one: no case always runs behind the same one. */
export function interleave<T>(cases: readonly T[], rounds: number): { readonly round: number; readonly item: T }[] {
  return Array.from({ length: rounds }, (_, round) => {
    const first = cases.length === 0 ? 0 : round % cases.length
    return [...cases.slice(first), ...cases.slice(0, first)].map((item) => ({ round, item }))
  }).flat()
}
