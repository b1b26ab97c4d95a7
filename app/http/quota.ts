/**
 * Limits the events a second of each client: one token bucket each (capacity: ten seconds of events), refilled when it
 * is used. @fastify/rate-limit limits requests. This limits events, whose number is known only after parsing.
 */
import { MillraceError } from '../errors.ts'

export const BURST_SECONDS = 10
/** Beyond this number, the client that is idle longest is forgotten. It starts again with a full bucket. */
const MAX_CLIENTS = 10_000

/** The part of a quota that a route uses. */
export type EventQuota = Pick<Quota, 'take' | 'giveBack'>

export class Quota {
  readonly #eventsPerSecond: number
  readonly #clients = new Map<string, { tokens: number; atMs: number }>()

  constructor(eventsPerSecond: number) {
    this.#eventsPerSecond = eventsPerSecond
  }

  /**
   * Takes `events` from the client's bucket.
   * @throws MillraceError OVER_QUOTA when the bucket holds too few now; TOO_MANY_EVENTS when it never holds so many.
   */
  take(client: string, events: number, nowMs: number = performance.now()): void {
    const capacity = this.#eventsPerSecond * BURST_SECONDS
    if (events > capacity) throw tooManyAtOnce(events, this.#eventsPerSecond)
    const before = this.#clients.get(client)
    const refilled = before ? before.tokens + ((nowMs - before.atMs) / 1000) * this.#eventsPerSecond : capacity
    const tokens = Math.min(capacity, refilled)
    // Delete and set again, so that the map stays in order of last use.
    this.#clients.delete(client)
    this.#clients.set(client, { tokens: events <= tokens ? tokens - events : tokens, atMs: nowMs })
    if (this.#clients.size > MAX_CLIENTS) this.#clients.delete(this.#clients.keys().next().value ?? client)
    if (events > tokens) throw overQuota(this.#eventsPerSecond)
  }

  /** Undoes a `take` of events that were not stored: only stored events count. */
  giveBack(client: string, events: number): void {
    const bucket = this.#clients.get(client)
    if (bucket) bucket.tokens += events // the next `take` limits it to the capacity
  }
}

export function tooManyAtOnce(events: number, eventsPerSecond: number): MillraceError {
  const allowed = eventsPerSecond * BURST_SECONDS
  return new MillraceError(
    'TOO_MANY_EVENTS',
    `${events} events at once, the quota allows ${allowed}: send fewer at a time`,
  )
}

export function overQuota(eventsPerSecond: number): MillraceError {
  return new MillraceError('OVER_QUOTA', `over ${eventsPerSecond} events a second: send again in a moment`)
}
