/**
 * Delivers dead letters again: through a separate lane, with the same filter, handlers and sink.
 *
 *     dead letters ─▶ filter ─▶ lane ─▶ sink ─▶ settled, and its flush ─▶ the next group of letters
 *          ▲                     │ failed again
 *          └─────────────────────┘
 */
import { itemOf } from '../event/item.ts'
import type { Filter } from '../handlers/handler.ts'
import type { Change } from './change.ts'
import type { DeadLetters, ReplayResult, Waiting } from './dead-letters.ts'
import { faultOf, KEPT_OUT } from './filter.ts'
import { Lane, type LaneOptions } from './lane.ts'
import { Picked, Task } from './task.ts'

export interface ReplayOptions {
  readonly deadLetters: DeadLetters
  readonly filter: Filter | undefined
  /** The options of the delivery's lanes. */
  readonly lane: Omit<LaneOptions, 'index'>
  /** Notified when events are settled, and at a stop. */
  readonly change: Change
}

export class Replays {
  readonly #options: ReplayOptions
  #delivered = 0
  #ended: Promise<unknown> = Promise.resolve()

  constructor(options: ReplayOptions) {
    this.#options = options
  }

  /** Letters that a replay delivered, since the start. */
  get deliveredTotal(): number {
    return this.#delivered
  }

  /** Resolves when no replay is in progress. */
  get ended(): Promise<unknown> {
    return this.#ended
  }

  /** @returns undefined when a replay is already in progress. */
  start(): Promise<ReplayResult> | undefined {
    if (this.#options.deadLetters.isReplaying) return undefined
    const replay = this.#replay()
    this.#ended = replay.catch(() => undefined)
    return replay
  }

  async #replay(): Promise<ReplayResult> {
    const { deadLetters, lane: ofDelivery, change } = this.#options
    let failedAgain = 0
    const lane = new Lane({
      ...ofDelivery,
      keepDeadLetters: async (letters) => {
        await ofDelivery.keepDeadLetters(letters)
        failedAgain += letters.length
      },
      index: 0,
      onSettled: () => change.note(),
    })
    const running = lane.run()
    const deliver = async (waiting: Waiting) => {
      const failedBefore = failedAgain
      if (!(await this.#deliver(waiting, lane))) return
      this.#delivered += waiting.letters.length - (failedAgain - failedBefore)
    }
    try {
      return { letters: await deadLetters.replay(deliver, ofDelivery.signal), failedAgain }
    } finally {
      lane.sender.close()
      await running
    }
  }

  /** @returns true when all letters are settled or the delivery stops; false when the lane is closed. */
  async #deliver({ letters, logId, firstOffset, appendedAtMs }: Waiting, lane: Lane): Promise<boolean> {
    const { filter, lane: ofDelivery, change } = this.#options
    const { sink, signal } = ofDelivery
    for (const [index, letter] of letters.entries()) {
      const item = itemOf(letter.json, { logId, baseOffset: firstOffset + index, appendedAtMs })
      const fault = faultOf(filter, item)
      if (fault === KEPT_OUT) continue
      const run = new Picked([new Task(item.block, item.index, undefined, fault, letter)])
      if (!(await lane.send(run))) return false
    }
    while (lane.pending > lane.gathered && !signal.aborted) await change.next()
    await unlessAborted(sink.flush?.(), signal)
    while (lane.pending > 0 && !signal.aborted) await change.next()
    return true
  }
}

async function unlessAborted(work: Promise<void> | undefined, signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  const stop = () => resolve()
  signal.addEventListener('abort', stop, { once: true })
  if (signal.aborted) stop()
  await Promise.race([work, promise])
  signal.removeEventListener('abort', stop)
}
