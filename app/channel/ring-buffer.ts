/**
 * A queue in an array whose length is a power of two, so that an index wraps with one AND. `head` and `tail` only
 * increase; their difference is the length. The array starts small, doubles when it is full, and never shrinks.
 *
 *      index & mask   0     1     2     3     4     5     6     7
 *                  ┌─────┬─────┬─────┬─────┬─────┬─────┬─────┬─────┐
 *                  │  g  │  h  │     │     │  c  │  d  │  e  │  f  │
 *                  └─────┴─────┴─────┴─────┴─────┴─────┴─────┴─────┘
 *                                ▲           ▲
 *                        tail (next push)   head (next shift)
 *
 * A cell is cleared when its value is taken, so that the queue keeps no taken value alive.
 */
const INITIAL_CELLS = 16

export class RingBuffer<T> {
  #cells: (T | undefined)[] = new Array(INITIAL_CELLS).fill(undefined)
  #mask = INITIAL_CELLS - 1
  #head = 0
  #tail = 0

  get length(): number {
    return this.#tail - this.#head
  }

  push(value: T): void {
    if (this.#tail - this.#head > this.#mask) this.#grow()
    this.#cells[this.#tail & this.#mask] = value
    this.#tail += 1
  }

  /** The oldest value, without removing it; undefined when empty. */
  peek(): T | undefined {
    return this.#cells[this.#head & this.#mask]
  }

  /** Removes and returns the oldest value; undefined when empty. */
  shift(): T | undefined {
    if (this.#head === this.#tail) return undefined
    const at = this.#head & this.#mask
    const value = this.#cells[at]
    this.#cells[at] = undefined
    this.#head += 1
    // Reset the indices to 0 when empty, so that they stay small integers, which V8 adds fastest.
    if (this.#head === this.#tail) this.#head = this.#tail = 0
    return value
  }

  /** Moves up to `max` of the oldest values to the end of `out`; returns how many. */
  shiftInto(out: T[], max: number): number {
    const count = Math.min(max, this.#tail - this.#head)
    const cells = this.#cells
    const mask = this.#mask
    let head = this.#head
    for (const end = head + count; head < end; head++) {
      out.push(cells[head & mask] as T)
      cells[head & mask] = undefined
    }
    this.#head = head
    if (head === this.#tail) this.#head = this.#tail = 0
    return count
  }

  #grow(): void {
    const length = this.#tail - this.#head
    const cells = new Array<T | undefined>(2 * this.#cells.length).fill(undefined)
    for (let at = 0; at < length; at++) cells[at] = this.#cells[(this.#head + at) & this.#mask]
    this.#cells = cells
    this.#mask = cells.length - 1
    this.#head = 0
    this.#tail = length
  }
}
