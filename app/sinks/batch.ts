/** Events that go into a sink together. A sink that needs only lines costs no object for each event. */
import { type Item, linesOf } from '../event/item.ts'

export class SinkBatch {
  readonly length: number
  /** Offset of the first event. */
  readonly firstOffset: number
  readonly #makeItems: () => readonly Item[]
  readonly #makeLines: () => readonly Buffer[]

  constructor(
    length: number,
    firstOffset: number,
    makeItems: () => readonly Item[],
    makeLines = () => linesOf(makeItems()) as readonly Buffer[],
  ) {
    this.length = length
    this.firstOffset = firstOffset
    this.#makeItems = makeItems
    this.#makeLines = makeLines
  }

  static of(items: readonly Item[]): SinkBatch {
    return new SinkBatch(items.length, items[0]?.offset ?? 0, () => items)
  }

  /** The events, in order. A retry gets the same objects. */
  get items(): readonly Item[] {
    return this.#makeItems()
  }

  /** Complete CloudEvents, one a line, each line ended by a newline. */
  get lines(): readonly Buffer[] {
    return this.#makeLines()
  }
}
