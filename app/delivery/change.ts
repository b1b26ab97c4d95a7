/** Wakes all waiters when something has changed. Each checks its own condition, and waits again if it does not hold. */
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
