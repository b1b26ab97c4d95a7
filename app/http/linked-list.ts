/**
 * A list in order of arrival. Adds at the end and removes anywhere, both in constant time.
 *
 *     first ◀─▶ entry ◀─▶ entry ◀─▶ last
 *
 * Not a Set, because thousands of entries a second come and go here. V8's Set links each table that it outgrew to the
 * next one. Once such a table is in the old generation, everything that was ever in a later table lives until the next
 * full collection, and promotes more objects. With a Set of requests, each request promoted 0.9 KB; with this list, 0
 * (docs/decisions/0020-hot-path.md). For the same reason, a removed entry keeps no links.
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

  /** Call at most once for each entry. */
  remove(entry: Entry<T>): void {
    const { previous, next } = entry
    if (previous === undefined) this.#first = next
    else previous.next = next
    if (next === undefined) this.#last = previous
    else next.previous = previous
    entry.previous = entry.next = undefined
  }

  /** Oldest first. The entry that it yielded may be removed during the iteration. */
  *[Symbol.iterator](): Generator<T, void> {
    for (let entry = this.#first; entry !== undefined; ) {
      const { value, next } = entry
      yield value
      entry = next
    }
  }
}
