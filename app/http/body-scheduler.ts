/**
 * Shares the event loop between parsing large bodies and everything else: one takes milliseconds, and while many are
 * parsed one after the other nobody is answered, not even with a refusal.
 *
 *     a turn of the loop   │ small bodies, refusals, syncs, deliveries │ large bodies, in their order, for SLICE_MS │
 *                                                                        the others wait for the next turn
 *
 * What waits is bounded by the time that it will take; beyond that large bodies are refused, before they are received
 * when that is known by then, else before they are parsed. Small ones are parsed at once: to refuse them takes as long.
 * While the disk is behind, large ones wait here: parsed, they would only be refused by the channel.
 */
import { MillraceError } from '../errors.ts'

const SMALL_BYTES = 4096
/** Short, because Node accepts one connection a turn. */
const SLICE_MS = 2
/** Of parsing. Ten clients that send the largest bodies as fast as they are answered stay below it. */
const MAX_WAITING_MS = 60
/** For the disk: one that takes longer is not just behind. */
const MAX_HELD_MS = 1000
/** What a byte takes where nothing was measured yet: the first bodies take many times as long, since code is compiled then. */
const FIRST_MS_PER_BYTE = 1e-5
/** Weight of the newest body in what a byte takes. */
const NEWEST = 0.1

/** One for all: a thousand a second are refused, and each would look at its stack. */
const OVERLOADED = new MillraceError(
  'OVERLOADED',
  'more is arriving than can be parsed or stored: send again in a moment',
)

interface Waiting {
  readonly bytes: number
  readonly sinceMs: number
  readonly start: () => void
}

export class BodyScheduler {
  readonly #hasRoom: (bytes: number) => boolean
  #waiting: Waiting[] = []
  #waitingBytes = 0
  #msPerByte = FIRST_MS_PER_BYTE
  /** Spent on large bodies in this turn. */
  #spentMs = 0
  #isNextDue = false

  /** @param hasRoom whether the channel will probably take a body of so many bytes. */
  constructor(hasRoom: (bytes: number) => boolean) {
    this.#hasRoom = hasRoom
  }

  /** Why a body of so many bytes is not taken: it would have to wait for too long. */
  refusal(bytes: number): MillraceError | undefined {
    if (bytes <= SMALL_BYTES || this.#waiting.length === 0) return undefined
    if ((this.#waitingBytes + bytes) * this.#msPerByte <= MAX_WAITING_MS) return undefined
    return OVERLOADED
  }

  /**
   * Runs `work` on a body of so many bytes: now, or in a later turn, and then there is a promise.
   * @throws MillraceError OVERLOADED, and what `work` throws now; what it throws later rejects the promise.
   */
  run(bytes: number, work: () => void): Promise<void> | undefined {
    if (bytes <= SMALL_BYTES) {
      work()
      return undefined
    }
    const refusal = this.refusal(bytes)
    if (refusal) throw refusal
    if (this.#waiting.length === 0 && this.#spentMs <= SLICE_MS && this.#hasRoom(bytes)) {
      this.#measure(bytes, work)
      return undefined
    }
    this.#waitingBytes += bytes
    this.#callNext()
    return new Promise((resolve, reject) => {
      const start = () => {
        try {
          this.#measure(bytes, work)
          resolve()
        } catch (error) {
          reject(error)
        }
      }
      this.#waiting.push({ bytes, sinceMs: performance.now(), start })
    })
  }

  #measure(bytes: number, work: () => void): void {
    const beganAtMs = performance.now()
    try {
      work()
    } finally {
      const ms = performance.now() - beganAtMs
      this.#spentMs += ms
      // One that took many times as long was interrupted: that says nothing about the next.
      this.#msPerByte += NEWEST * (Math.min(ms / bytes, 2 * this.#msPerByte) - this.#msPerByte)
      this.#callNext()
    }
  }

  /** @param afterMs 0: as soon as the loop has looked at everything else. */
  #callNext(afterMs = 0): void {
    if (this.#isNextDue) return
    this.#isNextDue = true
    const next = () => {
      this.#isNextDue = false
      this.#spentMs = 0
      this.#work()
    }
    if (afterMs > 0) setTimeout(next, afterMs)
    else setImmediate(next)
  }

  #work(): void {
    let done = 0
    for (const { bytes, sinceMs, start } of this.#waiting) {
      if (this.#spentMs > SLICE_MS) break
      if (!this.#hasRoom(bytes) && performance.now() - sinceMs < MAX_HELD_MS) {
        this.#callNext(1)
        break
      }
      done += 1
      this.#waitingBytes -= bytes
      start()
    }
    this.#waiting = this.#waiting.slice(done)
    if (this.#waiting.length > 0) this.#callNext()
  }
}
