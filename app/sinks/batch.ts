/** Events that go into a sink together. As lines, where that is enough: then nothing is made for each of them. */
import { type Item, linesOf } from '../event/item.ts'

export class SinkBatch {
  readonly length: number
  /** Of the first event. */
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

  /** Each event, in order: the same objects whenever it is tried again. */
  get items(): readonly Item[] {
    return this.#makeItems()
  }

  /** Complete CloudEvents, one a line, each line ended by a newline. */
  get lines(): readonly Buffer[] {
    return this.#makeLines()
  }
}
