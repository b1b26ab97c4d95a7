/** Sends the queued events until each is answered: retries and divides requests, and reports refused events. */
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
  /** Events in the request. */
  readonly events: number
}

export interface SenderOptions {
  readonly queue: Queue
  readonly target: Target
  readonly retry: RetryPolicy
  /** Concurrent requests. */
  readonly concurrency: number
  readonly onSent: (events: number, duplicates: number) => void
  readonly onRetry: (retry: Retry) => void
  readonly onRejected: (events: readonly Partial<Event>[], problem: Problem) => void
  /** Called when the store cannot read events back. */
  readonly onUnreadable: (events: number, error: unknown) => void
}

const NOT_ACCEPTABLE = { type: 'urn:millrace:problem:no-valid-event', title: 'No event was acceptable', status: 422 }

export class Sender {
  readonly #options: SenderOptions
  readonly #stop = new AbortController()
  /** Aborted to end delays between retries early. */
  #hurry = new AbortController()
  #isOpen = false
  /** Consecutive answers in which valid events were not stored. */
  #unstored = 0
  /** Lanes: each sends one part after the other. */
  #lanes = new Set<Promise<void>>()

  constructor(options: SenderOptions) {
    this.#options = options
  }

  start(): void {
    this.#isOpen = true
    this.wake()
  }

  /** Call when there may be something to send. */
  wake(): void {
    while (this.#isOpen && this.#lanes.size < this.#options.concurrency) {
      const part = this.#options.queue.take()
      if (part === undefined) return
      this.#begin(this.#sendFrom(part))
    }
  }

  /** Retries at once every request that waits for its retry. */
  hurry(): void {
    this.#hurry.abort()
    this.#hurry = new AbortController()
  }

  /** The user leaves the page: sends at once the parts that may outlive it. The rest stays queued. */
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

  /** Ends requests and delays. Their events go back into the queue. */
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

  /** @param isLeaving there is no time for compression, and nothing is awaited before the request. */
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

  /** @returns undefined when it was stopped before a final answer. */
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

  /** @returns false when valid events were not stored: these are back in the queue. */
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
