/**
 * Shares the event loop between parsing large bodies and all other work. A large body takes milliseconds to parse.
 * While many are parsed one after the other, no client gets an answer, not even a refusal.
 *
 *     a turn of the loop   │ small bodies, refusals, syncs, deliveries │ large bodies, in order, for SLICE_MS       │
 *                                                                        the others wait for the next turn
 *
 * The queue is bounded by the estimated time to parse it. Beyond that, large bodies are refused: before they are
 * received if the queue is full by then, else before they are parsed. Small bodies are parsed at once, because a
 * refusal takes as long. While the disk is behind, large bodies wait here unparsed: the channel would refuse them.
 */
import { MillraceError } from '../errors.ts'

const SMALL_BYTES = 4096
/** Time for large bodies in one turn of the loop. Short, because Node accepts one connection a turn. */
const SLICE_MS = 2
/** Limit of the parsing time in the queue. Ten clients that send the largest bodies without a pause stay below it. */
const MAX_WAITING_MS = 60
/** How long a body waits for the disk: a disk that takes longer is not just behind. */
const MAX_HELD_MS = 1000
/** Parsing time of a byte before the first measurement. The first bodies are far slower: code is compiled then. */
const FIRST_MS_PER_BYTE = 1e-5
/** Weight of the newest body in the average parsing time of a byte. */
const NEWEST = 0.1

/** One error object for all refusals: there may be a thousand a second, and each new error captures its stack. */
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
  /** Time spent on large bodies in this turn. */
  #spentMs = 0
  #isNextDue = false

  /** @param hasRoom whether the channel will probably accept a body of that many bytes. */
  constructor(hasRoom: (bytes: number) => boolean) {
    this.#hasRoom = hasRoom
  }

  /** The error for a body of that many bytes that would wait too long; undefined if it is accepted. */
  refusal(bytes: number): MillraceError | undefined {
    if (bytes <= SMALL_BYTES || this.#waiting.length === 0) return undefined
    if ((this.#waitingBytes + bytes) * this.#msPerByte <= MAX_WAITING_MS) return undefined
    return OVERLOADED
  }

  /**
   * Runs `work` on a body of that many bytes: now, or in a later turn. In a later turn, it returns a promise.
   * @throws MillraceError OVERLOADED, and any error of `work` if it runs now. A later error rejects the promise.
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
      // A body that took far longer was interrupted: cap it, because it does not predict the next one.
      this.#msPerByte += NEWEST * (Math.min(ms / bytes, 2 * this.#msPerByte) - this.#msPerByte)
      this.#callNext()
    }
  }

  /** @param afterMs 0: as soon as the loop has handled everything else. */
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
