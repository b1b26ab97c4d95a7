/** The outcome of the events of `millrace send`: counts, and the lines of events that were not accepted. */
import type { Rejected, Retries } from './post.ts'
import type { Sent } from './requests.ts'

/** How many lines are listed; the others are only counted. */
const MAX_SHOWN = 20

export class Tally {
  readonly retries: Retries = { refused: 0, unanswered: 0 }
  accepted = 0
  #duplicates = 0
  #rejected = 0
  /** Events that are not known to be stored. */
  #failed = 0
  #firstFailed = Number.POSITIVE_INFINITY
  #lastRead = 0
  #stopped: string | undefined
  readonly #problems: { readonly line: number; readonly problem: string }[] = []
  readonly #unit: 'line' | 'event'

  /** @param unit what `line` counts: lines of an input, or generated events. */
  constructor(unit: 'line' | 'event') {
    this.#unit = unit
  }

  get settled(): number {
    return this.accepted + this.#rejected + this.#failed
  }

  get hasRead(): boolean {
    return this.#lastRead > 0
  }

  get isComplete(): boolean {
    return this.#rejected === 0 && this.#failed === 0 && this.#stopped === undefined
  }

  read(group: readonly Sent[]): void {
    this.#lastRead = Math.max(this.#lastRead, group.at(-1)?.line ?? 0)
  }

  reject(line: number, problem: string): void {
    this.#rejected += 1
    this.#lastRead = Math.max(this.#lastRead, line)
    this.#problems.push({ line, problem })
    // Keep the first lines of the input, in whatever order the requests were answered.
    if (this.#problems.length > 4 * MAX_SHOWN) this.#problems.sort((a, b) => a.line - b.line).splice(MAX_SHOWN)
  }

  fail(group: readonly Sent[]): void {
    this.#failed += group.length
    this.#firstFailed = Math.min(this.#firstFailed, group[0]?.line ?? this.#firstFailed)
  }

  /** Stops sending. The first reason is kept. */
  stop(reason: string): void {
    this.#stopped ??= reason
  }

  /**
   * @param mayRepeat whether events that can be sent again will be.
   * @returns the events to send again.
   */
  take(
    group: readonly Sent[],
    accepted: number,
    duplicates: number,
    rejected: readonly Rejected[],
    mayRepeat: boolean,
  ): Sent[] {
    this.accepted += accepted
    this.#duplicates += duplicates
    const again: Sent[] = []
    for (const { index, reason, retryable } of rejected) {
      const event = group[index]
      if (event === undefined) continue
      if (retryable && mayRepeat) again.push(event)
      else this.reject(event.line, reason)
    }
    const unknown = group.length - accepted - rejected.length
    if (unknown !== 0) {
      this.#failed += Math.max(0, unknown)
      this.#firstFailed = Math.min(this.#firstFailed, group[0]?.line ?? this.#firstFailed)
      this.stop(`the service counted ${accepted + rejected.length} events where ${group.length} were sent`)
    }
    return again
  }

  summary(): string {
    const again = `${this.retries.refused} requests were refused for a moment and sent again`
    const duplicates = this.#duplicates > 0 ? `; ${this.#duplicates} of the accepted were stored before` : ''
    return `accepted ${this.accepted}, rejected ${this.#rejected}, failed ${this.#failed}; ${again}${duplicates}`
  }

  /** The lines of the report. */
  report(): string[] {
    const problems = this.#problems.sort((a, b) => a.line - b.line).slice(0, MAX_SHOWN)
    const lines = problems.map(({ line, problem }) => `${this.#unit} ${line}: ${problem}`)
    if (this.#rejected > problems.length) lines.push(`… and ${this.#rejected - problems.length} more were not accepted`)
    if (this.retries.unanswered > 0) {
      lines.push(
        `${this.retries.unanswered} requests got no answer and were sent again: their events may be stored twice, unless the service has DEDUPLICATION_WINDOW_EVENTS`,
      )
    }
    if (this.#stopped !== undefined) {
      const next = Math.min(this.#firstFailed, this.#lastRead + 1)
      lines.push(`stopped: ${this.#stopped}`, `every ${this.#unit} before ${next} was sent; from there on, send again`)
    }
    return lines
  }
}
