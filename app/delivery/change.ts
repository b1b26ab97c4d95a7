/** Tells who waits that something has changed: they look whether it is what they wait for, and wait again if not. */
export class Change {
  #next = Promise.withResolvers<void>()

  note(): void {
    const { resolve } = this.#next
    this.#next = Promise.withResolvers()
    resolve()
  }

  /** Resolves with the next change, or after `limitMs`. */
  async next(limitMs?: number): Promise<void> {
    const limit = Promise.withResolvers<void>()
    const timer = limitMs === undefined ? undefined : setTimeout(limit.resolve, Math.max(0, limitMs))
    await Promise.race([this.#next.promise, limit.promise])
    clearTimeout(timer)
  }
}
