/** Sends what waits in the queue until each event is answered: repeats, divides, and says what was refused. */
import type { Event } from '../event/cloud-event.ts'
import type { Answer, Problem, RejectedEvent } from './answer.ts'
import { countLines, eventsOf, halves, pick } from './lines.ts'
import { type Encoded, encode, post, type Target } from './post.ts'
import type { Part, Queue } from './queue.ts'
import { backoffMs, pause, type RetryPolicy } from './retry.ts'
import type { Body } from './store.ts'

/** A request that is sent again. */
export interface Retry {
  /** The answer, or why there was none. */
  readonly reason: string
  /** 1 after the first failure. */
  readonly attempt: number
  readonly waitMs: number
  /** In the request. */
  readonly events: number
}

export interface SenderOptions {
  readonly queue: Queue
  readonly target: Target
  readonly retry: RetryPolicy
  /** Requests under way at a time. */
  readonly concurrency: number
  readonly onSent: (events: number, duplicates: number) => void
  readonly onRetry: (retry: Retry) => void
  readonly onRejected: (events: readonly Partial<Event>[], problem: Problem) => void
  /** The store could not give back what it has taken. */
  readonly onUnreadable: (events: number, error: unknown) => void
}

const NOT_ACCEPTABLE = { type: 'urn:millrace:problem:no-valid-event', title: 'No event was acceptable', status: 422 }

export class Sender {
  readonly #options: SenderOptions
  readonly #stop = new AbortController()
  /** Ends waits between tries early. */
  #hurry = new AbortController()
  #isOpen = false
  /** Answers in a row that left out valid events. */
  #unstored = 0
  /** Lanes that take one part after the other. */
  #lanes = new Set<Promise<void>>()

  constructor(options: SenderOptions) {
    this.#options = options
  }

  start(): void {
    this.#isOpen = true
    this.wake()
  }

  /** There may be something to send. */
  wake(): void {
    while (this.#isOpen && this.#lanes.size < this.#options.concurrency) {
      const part = this.#options.queue.take()
      if (part === undefined) return
      this.#begin(this.#sendFrom(part))
    }
  }

  /** Tries again at once, for whatever waits between tries. */
  hurry(): void {
    this.#hurry.abort()
    this.#hurry = new AbortController()
  }

  /** The page is left: sends at once what may outlive it. The rest stays where it is. */
  leave(): void {
    const { queue, target } = this.#options
    queue.sealPage()
    this.hurry()
    for (let part = queue.take(); part !== undefined; part = queue.take()) {
      if (!this.#isOpen || part.body === undefined || !target.keepalive?.fits(part.bytes)) {
        queue.putBack(part)
        return
      }
      this.#begin(this.#send(part, true))
    }
  }

  /** Ends requests and waits; what they had is in the queue again. */
  async stop(): Promise<void> {
    this.#isOpen = false
    this.#stop.abort()
    await Promise.all(this.#lanes)
  }

  #begin(lane: Promise<void>): void {
    this.#lanes.add(lane)
    lane.finally(() => {
      this.#lanes.delete(lane)
      this.wake()
    })
  }

  async #sendFrom(first: Part): Promise<void> {
    for (let part: Part | undefined = first; part !== undefined; part = this.#options.queue.take()) {
      await this.#send(part)
      if (!this.#isOpen) return
    }
  }

  /** @param isLeaving there is no time to compress it. Up to the request, nothing is awaited then. */
  async #send(part: Part, isLeaving = false): Promise<void> {
    const { queue, target } = this.#options
    let body: Body
    try {
      body = part.body ?? (await queue.bodyOf(part))
    } catch (error) {
      queue.settle(part)
      return this.#options.onUnreadable(part.events, error)
    }
    const encoded = isLeaving ? { body, isGzip: false } : await encode(body, target)
    const answer = await this.#answerTo(part, encoded)
    if (answer === undefined) return queue.putBack(part)
    this.#unstored = this.#settle(part, body, answer) ? 0 : this.#unstored + 1
    if (this.#unstored > 0) await this.#wait('a part of the log did not take them', this.#unstored, 0, part.events)
  }

  /** @returns undefined when it was stopped before there was an answer for good. */
  async #answerTo(part: Part, encoded: Encoded): Promise<Exclude<Answer, { kind: 'later' }> | undefined> {
    for (let attempt = 1; ; attempt++) {
      const answer = await post(encoded, this.#options.target, this.#stop.signal)
      if (answer.kind !== 'later') return answer
      if (this.#stop.signal.aborted) return undefined
      await this.#wait(answer.reason, attempt, answer.retryAfterMs, part.events)
      if (this.#stop.signal.aborted) return undefined
    }
  }

  async #wait(reason: string, attempt: number, atLeastMs: number, events: number): Promise<void> {
    const { retry, onRetry } = this.#options
    const waitMs = atLeastMs + backoffMs(attempt, retry)
    onRetry({ reason, attempt, waitMs, events })
    await pause(waitMs, this.#stop.signal, this.#hurry.signal)
  }

  /** @returns false when valid events were not stored: they are in the queue again. */
  #settle(part: Part, body: Body, answer: Exclude<Answer, { kind: 'later' }>): boolean {
    const { queue, onSent, onRejected } = this.#options
    if (answer.kind === 'refused') {
      if (answer.isSplittable && part.events > 1) {
        queue.replace(part, halves(body).map(counted))
      } else {
        queue.settle(part)
        onRejected(eventsOf(body), answer.problem)
      }
      return true
    }
    const { duplicates, rejected } = answer
    const refused = rejected.filter(({ retryable, index }) => !retryable && index < part.events)
    const again = rejected.filter(({ retryable, index }) => retryable && index < part.events)
    onSent(part.events - refused.length - again.length, duplicates)
    if (again.length > 0) queue.replace(part, [counted(pick(body, indexesOf(again)))])
    else queue.settle(part)
    const [first] = refused
    if (first !== undefined) {
      const list = refused.map(({ reason }, index) => ({ index, reason }))
      const problem = { ...NOT_ACCEPTABLE, detail: first.reason, rejected: list }
      onRejected(eventsOf(pick(body, indexesOf(refused))), problem)
    }
    return again.length === 0
  }
}

function indexesOf(rejected: readonly RejectedEvent[]): number[] {
  return rejected.map(({ index }) => index)
}

function counted(body: Body): { readonly body: Body; readonly events: number } {
  return { body, events: countLines(body) }
}
