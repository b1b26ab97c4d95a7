/** What a consumer has settled in each of its partitions, and how much there is beyond. */
import type { Position, Settled } from '../log.ts'

interface Place {
  /** Everything before it is settled, durably. */
  committed: number
  /** Everything before it is in the log. */
  end: number
  /** Stretches that the brokers had deleted before they were read. */
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

  /** By this process. */
  get settled(): Settled {
    return { delivered: this.#delivered, deadLettered: this.#deadLettered, damaged: this.#damaged }
  }

  get lagEvents(): number {
    return [...this.#places.values()].reduce((sum, { committed, end }) => sum + Math.max(0, end - committed), 0)
  }

  committed(partition: number): number {
    return this.#places.get(partition)?.committed ?? 0
  }

  has(partition: number): boolean {
    return this.#places.has(partition)
  }

  add(partition: number, committed: number): void {
    this.#places.set(partition, { committed, end: committed, gaps: [] })
  }

  remove(partition: number): void {
    this.#places.delete(partition)
  }

  reached(partition: number, end: number): void {
    const place = this.#places.get(partition)
    if (place) place.end = end
  }

  /** Events that are gone before they were read. */
  skip(partition: number, from: number, to: number): void {
    this.#places.get(partition)?.gaps.push({ endOffset: to, events: to - from })
  }

  /** Of the positions, those that move on in a partition that is still ours. */
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
    }
  }
}
