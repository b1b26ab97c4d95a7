/**
 * When the events of one partition were appended, as far as that is known without reading them: a few points, from which
 * the age of any event follows.
 *
 *     offset   0 ········ 120 ········ 480 ──▶      appended at this time or later, before the next point was
 *     atMs     10:00:00   10:00:00.6   10:04:00
 *
 * An age is never too small. It is too large by the distance of two points: SPACING_MS where they come as events are
 * appended, 0.4 % of the age where there are many, more where only the ends of a stretch are known.
 */

/** Points that are closer say nothing that anybody asks for. */
const SPACING_MS = 500
/** Beyond, they are thinned out. */
const MAX_POINTS = 4096
/** Of two points that are left then: 3,000 points say it of a month. */
const GAP_BY_AGE = 0.004

export class AppendTimes {
  readonly #offsets: number[] = []
  readonly #timesMs: number[] = []

  /** The event at `offset`, and none before it that is not known, was appended at `atMs` or later. Epoch, milliseconds. */
  add(offset: number, atMs: number): void {
    const before = this.#before(offset)
    if (this.#offsets[before] === offset) return
    const earlierMs = this.#timesMs[before]
    if (earlierMs !== undefined && atMs >= earlierMs && atMs - earlierMs < SPACING_MS) return
    this.#offsets.splice(before + 1, 0, offset)
    this.#timesMs.splice(before + 1, 0, atMs)
    if (this.#offsets.length > MAX_POINTS) this.#thinOut()
  }

  /** When the event at `offset` was appended, at the earliest; undefined when no point is at or before it. */
  at(offset: number): number | undefined {
    return this.#timesMs[this.#before(offset)]
  }

  /** Nobody asks for events before `offset` any more. */
  forget(offset: number): void {
    const before = this.#before(offset)
    if (before <= 0) return
    this.#offsets.splice(0, before)
    this.#timesMs.splice(0, before)
  }

  /** The log ends at `offset`: what was behind it was cut off, and other events will have its offsets. */
  cutOff(offset: number): void {
    const kept = this.#before(offset - 1) + 1
    this.#offsets.length = kept
    this.#timesMs.length = kept
  }

  /** Place of the last point at or before `offset`; -1 without one. Mostly the last of all. */
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

  /** Keeps so many that none is further from the next than a small share of its age. */
  #thinOut(): void {
    const { length } = this.#timesMs
    const timeMs = (at: number) => this.#timesMs[at] as number
    const newestMs = timeMs(length - 1)
    const kept = [length - 1]
    let next = length - 1
    for (let at = length - 2; at > 0; at--) {
      const gapMs = timeMs(next) - timeMs(at - 1) // without this one
      if (gapMs >= 0 && gapMs <= GAP_BY_AGE * (newestMs - timeMs(at - 1))) continue
      kept.push(at)
      next = at
    }
    kept.push(0)
    kept.reverse()
    for (const list of [this.#offsets, this.#timesMs]) list.splice(0, length, ...kept.map((at) => list[at] as number))
  }
}
