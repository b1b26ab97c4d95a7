/** What travels through the channel: the encoded events of one request, and the promise that they are durable. */
export class Write {
  /** `count` JSON texts, one a line, no newline at the end. */
  readonly payload: Buffer
  readonly count: number
  /** Resolves when all of it is durable; rejects with a MillraceError when none of it is. */
  readonly durable: Promise<void>
  #resolve!: () => void
  #reject!: (error: unknown) => void

  constructor(payload: Buffer, count: number) {
    this.payload = payload
    this.count = count
    this.durable = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
    // Whoever opted out of waiting must not turn a refusal into an unhandled rejection.
    this.durable.catch(() => undefined)
  }

  succeed(): void {
    this.#resolve()
  }

  fail(error: unknown): void {
    this.#reject(error)
  }
}
