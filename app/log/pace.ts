/**
 * How long a group waits for more, from what the last ones were like: PostgreSQL's `commit_delay` and
 * `commit_siblings`, measured instead of set. Clients that wait for their answers send again once they have them, all
 * at about the same time. Without a wait the first of them is synced alone, the others wait for that, and each group is
 * half of them.
 *
 * So a group waits until as many writes are there as were in hand when the last one was answered, for at most half of
 * the time for which nothing but the sync was waited for. One client alone waits for nothing; nor does anybody where a
 * sync takes less than a timer, or where the event loop has other work meanwhile.
 */
import { performance } from 'node:perf_hooks'

/** Of what was waited for. */
const SHARE = 0.5
/** What a timer of Node takes at least: below that a wait costs more than it is worth. */
const SHORTEST_MS = 1
const LONGEST_MS = 10
/** Weight of the newest group. */
const NEWEST = 0.2

const { eventLoopUtilization } = performance

export class Pace {
  readonly maxBytes: number
  readonly #fixedMs: number
  #inHand = 1
  #began = eventLoopUtilization()
  #endedAtMs = Number.NEGATIVE_INFINITY
  /** For which the loop was idle while a group was appended. */
  #idleMs = 0

  /**
   * @param maxBytes of a group.
   * @param lingerMs how long every group waits; 0: as long as pays.
   */
  constructor(maxBytes: number, lingerMs: number) {
    this.maxBytes = maxBytes
    this.#fixedMs = lingerMs
  }

  /** How long the group waits whose first write is there. */
  get lingerMs(): number {
    if (this.#fixedMs > 0) return this.#fixedMs
    const ms = SHARE * this.#idleMs
    // A client that was answered longer ago is not about to send again.
    if (ms < SHORTEST_MS || performance.now() - this.#endedAtMs > this.#idleMs) return 0
    return Math.min(ms, LONGEST_MS)
  }

  /** With so many writes it waits no longer. */
  get lingerItems(): number {
    return this.#fixedMs > 0 ? Number.POSITIVE_INFINITY : this.#inHand
  }

  /** A group is appended from now on. */
  begin(): void {
    this.#began = eventLoopUtilization()
  }

  /** It is durable. @param writes in it. @param waiting behind it. */
  end(writes: number, waiting: number): void {
    this.#inHand = writes + waiting
    this.#endedAtMs = performance.now()
    this.#idleMs += NEWEST * (eventLoopUtilization(this.#began).idle - this.#idleMs)
  }
}
