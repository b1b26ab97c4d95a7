/**
 * When the events of one partition were appended, without reading them: a few points, from which the age of any event
 * follows.
 *
 *     offset   0 ········ 120 ········ 480 ──▶      appended at this time or later, but before the next point
 *     atMs     10:00:00   10:00:00.6   10:04:00
 *
 * An age is never too small. It can be too large by the distance of two points. That is SPACING_MS for points added
 * while events are appended, 0.4 % of the age after thinning, and more where only the ends of a range are known.
 */

/** Minimum distance of two points: a finer resolution is not needed. */
const SPACING_MS = 500
/** With more points than this, points are thinned out. */
const MAX_POINTS = 4096
/** Distance of two points after thinning, as a share of their age: 3,000 points cover a month. */
const GAP_BY_AGE = 0.004

export class AppendTimes {
  readonly #offsets: number[] = []
  readonly #timesMs: number[] = []

  /** Adds a point: events from `offset` on were appended at `atMs` or later. Milliseconds since the epoch. */
  add(offset: number, atMs: number): void {
    const before = this.#before(offset)
    if (this.#offsets[before] === offset) return
    const earlierMs = this.#timesMs[before]
    if (earlierMs !== undefined && atMs >= earlierMs && atMs - earlierMs < SPACING_MS) return
    this.#offsets.splice(before + 1, 0, offset)
    this.#timesMs.splice(before + 1, 0, atMs)
    if (this.#offsets.length > MAX_POINTS) this.#thinOut()
  }

  /** The earliest time at which the event at `offset` was appended; undefined when no point is at or before it. */
  at(offset: number): number | undefined {
    return this.#timesMs[this.#before(offset)]
  }

  /** Drops points that are needed only for events before `offset`. */
  forget(offset: number): void {
    const before = this.#before(offset)
    if (before <= 0) return
    this.#offsets.splice(0, before)
    this.#timesMs.splice(0, before)
  }

  /** The log was cut off at `offset`: drops the points from there on, because new events will use these offsets. */
  cutOff(offset: number): void {
    const kept = this.#before(offset - 1) + 1
    this.#offsets.length = kept
    this.#timesMs.length = kept
  }

  /** Index of the last point at or before `offset`, or -1. Usually the last point of all. */
  #before(offset: number): number {
    let [low, high] = [0, this.#offsets.length]
    if (high > 0 && (this.#offsets[high - 1] as number) <= offset) return high - 1
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.#offsets[middle] as number) <= offset) low = middle + 1
      else high = middle
    }
    return low - 1
  }

  /** Removes points as long as the distance of two neighbours stays within GAP_BY_AGE of their age. */
  #thinOut(): void {
    const { length } = this.#timesMs
    const timeMs = (at: number) => this.#timesMs[at] as number
    const newestMs = timeMs(length - 1)
    const kept = [length - 1]
    let next = length - 1
    for (let at = length - 2; at > 0; at--) {
      const gapMs = timeMs(next) - timeMs(at - 1) // without this point
      if (gapMs >= 0 && gapMs <= GAP_BY_AGE * (newestMs - timeMs(at - 1))) continue
      kept.push(at)
      next = at
    }
    kept.push(0)
    kept.reverse()
    for (const list of [this.#offsets, this.#timesMs]) list.splice(0, length, ...kept.map((at) => list[at] as number))
  }
}
