/** For each partition of a consumer: what it has settled, where the log ends, and so its lag. */
import { AppendTimes } from '../append-times.ts'
import type { Position, Settled } from '../log.ts'

interface Place {
  /** Everything before this offset is settled, durably. */
  committed: number
  /** Everything before this offset is in the log. */
  end: number
  /** When `end` was last read: events after it were appended later. */
  lookedAtMs: number | undefined
  readonly times: AppendTimes
  /** Ranges that the brokers deleted before they were read. */
  gaps: { readonly endOffset: number; readonly events: number }[]
}

export class Offsets {
  readonly #places = new Map<number, Place>()
  #delivered = 0
  #deadLettered = 0
  #damaged = 0

  get partitions(): number[] {
    return [...this.#places.keys()]
  }

  /** Events settled by this process. */
  get settled(): Settled {
    return { delivered: this.#delivered, deadLettered: this.#deadLettered, damaged: this.#damaged }
  }

  get lagEvents(): number {
    return [...this.#places.values()].reduce((sum, { committed, end }) => sum + Math.max(0, end - committed), 0)
  }

  /** Whether {@link oldestAppendedAtMs} covers this partition, or the partition has no lag. */
  isAgeKnown(partition: number): boolean {
    const place = this.#places.get(partition)
    return place === undefined || place.end <= place.committed || place.times.at(place.committed) !== undefined
  }

  committed(partition: number): number {
    return this.#places.get(partition)?.committed ?? 0
  }

  has(partition: number): boolean {
    return this.#places.has(partition)
  }

  add(partition: number, committed: number): void {
    const times = new AppendTimes()
    this.#places.set(partition, { committed, end: committed, lookedAtMs: undefined, times, gaps: [] })
  }

  remove(partition: number): void {
    this.#places.delete(partition)
  }

  /** @param lookedAtMs time before the request to the broker; undefined when unknown. */
  reached(partition: number, end: number, lookedAtMs?: number): void {
    const place = this.#places.get(partition)
    if (place === undefined) return
    if (end > place.end && place.lookedAtMs !== undefined) place.times.add(place.end, place.lookedAtMs)
    place.end = end
    if (lookedAtMs !== undefined) place.lookedAtMs = lookedAtMs
  }

  /** Notes that the event at `offset` was appended at `atMs` or later. */
  noteAppended(partition: number, offset: number, atMs: number): void {
    this.#places.get(partition)?.times.add(offset, atMs)
  }

  /** When the oldest unsettled event was appended, or slightly earlier; undefined when there is none. */
  get oldestAppendedAtMs(): number | undefined {
    let oldestMs: number | undefined
    for (const { committed, end, times } of this.#places.values()) {
      const atMs = end > committed ? times.at(committed) : undefined
      if (atMs !== undefined && !(atMs >= (oldestMs ?? Number.POSITIVE_INFINITY))) oldestMs = atMs
    }
    return oldestMs
  }

  /** Skips events that were deleted before they were read. */
  skip(partition: number, from: number, to: number): void {
    this.#places.get(partition)?.gaps.push({ endOffset: to, events: to - from })
  }

  /** The positions that move forward in a partition that is still ours. */
  ahead(positions: readonly Position[]): Position[] {
    return positions.filter(({ partition, offset }) => offset > (this.#places.get(partition)?.committed ?? Infinity))
  }

  commit(positions: readonly Position[]): void {
    for (const { partition, offset, deadLettered, damaged } of this.ahead(positions)) {
      const place = this.#places.get(partition)
      if (place === undefined) continue
      const passed = place.gaps.filter(({ endOffset }) => endOffset <= offset)
      const gone = damaged + passed.reduce((sum, { events }) => sum + events, 0)
      place.gaps = place.gaps.filter((gap) => !passed.includes(gap))
      this.#delivered += offset - place.committed - deadLettered - gone
      this.#deadLettered += deadLettered
      this.#damaged += gone
      place.committed = offset
      place.end = Math.max(place.end, offset)
      place.times.forget(offset)
    }
  }
}
