/**
 * How long a group waits for more writes: PostgreSQL's `commit_delay` and `commit_siblings`, but measured from the last
 * groups instead of configured. Clients that wait for their answers all send again at about the same time. Without a
 * wait, the first of these writes is synced alone, the others wait for that sync, and each group holds only half of the
 * clients.
 *
 * So a group waits until it has as many writes as were in progress when the last group was answered. It waits at most
 * half of the time that the event loop was idle during the last syncs. There is no wait for a single client, for syncs
 * that take less than a timer, or while the event loop has other work.
 */
import { performance } from 'node:perf_hooks'

/** Longest wait, as a share of the idle time of a sync. */
const SHARE = 0.5
/** The shortest timer of Node. A shorter wait is not worth its cost. */
const SHORTEST_MS = 1
const LONGEST_MS = 10
/** Weight of the newest group in the average. */
const NEWEST = 0.2

const { eventLoopUtilization } = performance

export class Pace {
  readonly maxBytes: number
  readonly #fixedMs: number
  #inHand = 1
  #began = eventLoopUtilization()
  #endedAtMs = Number.NEGATIVE_INFINITY
  /** How long the event loop was idle while a group was appended, averaged. */
  #idleMs = 0

  /**
   * @param maxBytes largest group.
   * @param lingerMs how long every group waits; 0: measured.
   */
  constructor(maxBytes: number, lingerMs: number) {
    this.maxBytes = maxBytes
    this.#fixedMs = lingerMs
  }

  /** How long to wait for more writes once the first write of a group has arrived. */
  get lingerMs(): number {
    if (this.#fixedMs > 0) return this.#fixedMs
    const ms = SHARE * this.#idleMs
    // If the last answers were sent longer ago, no client is about to send again.
    if (ms < SHORTEST_MS || performance.now() - this.#endedAtMs > this.#idleMs) return 0
    return Math.min(ms, LONGEST_MS)
  }

  /** The number of writes that ends the wait. */
  get lingerItems(): number {
    return this.#fixedMs > 0 ? Number.POSITIVE_INFINITY : this.#inHand
  }

  /** Call when a group starts to be appended. */
  begin(): void {
    this.#began = eventLoopUtilization()
  }

  /** Call when the group is durable. @param writes number of its writes. @param waiting writes queued after it. */
  end(writes: number, waiting: number): void {
    this.#inHand = writes + waiting
    this.#endedAtMs = performance.now()
    this.#idleMs += NEWEST * (eventLoopUtilization(this.#began).idle - this.#idleMs)
  }
}
