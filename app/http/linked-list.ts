/**
 * What is open now, in order of arrival: added at the end, taken out anywhere, both at once.
 *
 *     first ◀─▶ entry ◀─▶ entry ◀─▶ last
 *
 * Not a Set, because thousands a second come and go here. V8's Set keeps a link from each table it outgrew to the next
 * one; once such a table is in the old generation, all that was ever in a later one lives until the next full collection,
 * and that promotes more. With a Set of requests 0.9 KB were promoted for each request, here 0
 * (docs/decisions/0020-hot-path.md). So an entry that is taken out leads nowhere any more.
 */
export interface Entry<T> {
  readonly value: T
  previous: Entry<T> | undefined
  next: Entry<T> | undefined
}

export class LinkedList<T> {
  #first: Entry<T> | undefined
  #last: Entry<T> | undefined

  add(value: T): Entry<T> {
    const entry = { value, previous: this.#last, next: undefined }
    if (this.#last === undefined) this.#first = entry
    else this.#last.next = entry
    this.#last = entry
    return entry
  }

  /** Once for each entry. */
  remove(entry: Entry<T>): void {
    const { previous, next } = entry
    if (previous === undefined) this.#first = next
    else previous.next = next
    if (next === undefined) this.#last = previous
    else next.previous = previous
    entry.previous = entry.next = undefined
  }

  /** The oldest first; what it gives may be taken out meanwhile. */
  *[Symbol.iterator](): Generator<T, void> {
    for (let entry = this.#first; entry !== undefined; ) {
      const { value, next } = entry
      yield value
      entry = next
    }
  }
}
