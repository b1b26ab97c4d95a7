/**
 * Dead letters of one sink, in their own log: so they are as durable as events, bounded, and can be delivered again.
 *
 *     lane ─append─▶ log ─▶ replay consumer ─▶ a separate lane ─▶ the same handlers and sink
 *                     ▲                                              │ failed again
 *                     └──────────────────────────────────────────────┘
 */
import { channel, type Sender } from '../channel/channel.ts'
import { MillraceError } from '../errors.ts'
import { rawMembers } from '../event/attributes.ts'
import type { Event } from '../event.ts'
import { groupCommit } from '../log/group-commit.ts'
import type { Consumer, Group, Log } from '../log/log.ts'
import { type OnSettled, Write } from '../write.ts'

interface WhyDead {
  /** Offset in the log of events. */
  readonly offset: number
  readonly attempts: number
  readonly reason: string
  /** RFC 3339. */
  readonly failedAt: string
}

export interface DeadLetter extends WhyDead {
  /** The complete CloudEvent, in its original bytes. */
  readonly json: Buffer
}

/** A dead letter as it is stored in its log. */
export interface ListedLetter extends WhyDead {
  readonly event: Event
  /** The whole letter as JSON. The event in it has its original bytes. */
  readonly text: string
}

/** Letters of one group in their log. */
export interface Waiting {
  readonly letters: readonly DeadLetter[]
  readonly logId: string
  readonly firstOffset: number
  readonly appendedAtMs: number
}

export interface ReplayResult {
  /** Number of dead letters that were replayed. */
  readonly letters: number
  /** How many of them are dead letters again. */
  readonly failedAgain: number
}

/** The lines of the letters as read, and a function that moves the offset past them. */
interface WaitingLines extends Omit<Waiting, 'letters'> {
  readonly lines: readonly string[]
  commit(): Promise<void>
}

const LINE_END = Buffer.from('\n')
const QUEUED_WRITES = 64
/** Time limit for reading a group that should be there: after that, an error is reported. */
const READ_WITHIN_MS = 10_000
const MAX_GROUP_BYTES = 1024 * 1024
export const REPLAY_CONSUMER = 'replay'

export class DeadLetters {
  readonly #log: Log
  readonly #sender: Sender<Write>
  readonly #committing: Promise<void>
  /** Consumer that only counts waiting letters. Each replay and each list has its own consumer. */
  readonly #watched: Consumer
  #replaying = false

  private constructor(log: Log, watched: Consumer) {
    this.#log = log
    this.#watched = watched
    const { sender, receiver } = channel<Write>(QUEUED_WRITES, { bytes: (write) => write.payload.length })
    this.#sender = sender
    this.#committing = groupCommit(receiver, log, { maxGroupBytes: MAX_GROUP_BYTES })
  }

  /** @param log already open; closed together with this. */
  static async open(log: Log): Promise<DeadLetters> {
    return new DeadLetters(log, await log.consumer(REPLAY_CONSUMER))
  }

  get pending(): number {
    return this.#watched.lagEvents
  }

  get isReplaying(): boolean {
    return this.#replaying
  }

  /**
   * Resolves when the letters are durable.
   * @throws MillraceError LOG_FULL, DISK_FULL, LOG_FAILED, LOG_UNAVAILABLE; then the caller must keep the events.
   */
  async append(letters: readonly DeadLetter[]): Promise<void> {
    const payload = Buffer.concat(
      letters.flatMap((letter, at) => (at === 0 ? encode(letter) : [LINE_END, ...encode(letter)])),
    )
    await new Promise<void>((resolve, reject) => {
      // The caller appends all of them again: a dead letter that is stored twice is better than a lost one.
      const onSettled: OnSettled = (error, [lost]) => {
        if (error === undefined && lost === undefined) resolve()
        else reject(error ?? lost?.error)
      }
      this.#sender.send(new Write(payload, letters.length, onSettled)).catch(reject)
    })
  }

  /** The oldest `limit` letters that were not replayed yet. */
  async list(limit: number, signal: AbortSignal): Promise<ListedLetter[]> {
    const found: ListedLetter[] = []
    for await (const { lines } of this.#waiting(signal)) {
      found.push(...lines.map((line) => ({ ...JSON.parse(line), text: line })))
      if (found.length >= limit) break
    }
    return found.slice(0, limit)
  }

  /**
   * Passes every letter that exists now to `deliver`, group by group, and moves on when it resolves. Letters that fail
   * again are appended at the end and wait for the next replay.
   * @returns how many letters were replayed.
   */
  async replay(deliver: (waiting: Waiting) => Promise<void>, signal: AbortSignal): Promise<number> {
    this.#replaying = true
    let replayed = 0
    try {
      for await (const waiting of this.#waiting(signal)) {
        const { lines, commit, ...place } = waiting
        const letters = lines.map(decodeLetter)
        await deliver({ letters, ...place })
        if (signal.aborted) break
        await commit()
        replayed += letters.length
      }
      return replayed
    } finally {
      this.#replaying = false
    }
  }

  /** The letters that wait now, group by group. */
  async *#waiting(signal: AbortSignal): AsyncGenerator<WaitingLines> {
    const consumer = await this.#log.consumer(REPLAY_CONSUMER)
    try {
      // Count offsets, not letters: so letters that damage or retention removed are not waited for.
      const passed = new Map<number, number>()
      for (let left = consumer.lagEvents; left > 0; ) {
        const group = await readWithin(READ_WITHIN_MS, consumer, signal)
        if (group === undefined) return
        const { logId, partition, baseOffset, count, payload, appendedAtMs } = group
        const from = passed.get(partition) ?? consumer.committedOffset(partition)
        const done = Math.max(0, from - baseOffset)
        const lines = payload.toString().split('\n').slice(done, count)
        const offset = baseOffset + count
        const commit = () => consumer.commit([{ partition, offset, deadLettered: 0, damaged: 0 }])
        yield { lines, logId, firstOffset: baseOffset + done, appendedAtMs, commit }
        passed.set(partition, offset)
        left -= offset - from
      }
    } finally {
      await consumer.close()
    }
  }

  async close(): Promise<void> {
    this.#sender.close()
    await this.#committing
    await this.#log.close()
  }
}

function encode({ json, ...why }: DeadLetter): Buffer[] {
  return [Buffer.from('{"event":'), json, Buffer.from(`,${JSON.stringify(why).slice(1)}`)]
}

function decodeLetter(line: string): DeadLetter {
  const { offset, attempts, reason, failedAt }: ListedLetter = JSON.parse(line)
  const json = rawMembers(Buffer.from(line))?.get('event')
  if (json === undefined) throw new Error(`a dead letter without an event: ${line.slice(0, 200)}`)
  return { json, offset, attempts, reason, failedAt }
}

/** @returns undefined when `signal` is aborted. @throws MillraceError LOG_UNAVAILABLE. */
async function readWithin(ms: number, consumer: Consumer, signal: AbortSignal): Promise<Group | undefined> {
  const limit = new AbortController()
  const stop = () => limit.abort()
  const timer = setTimeout(stop, ms)
  signal.addEventListener('abort', stop, { once: true })
  if (signal.aborted) stop()
  try {
    const group = await consumer.read(limit.signal)
    if (group !== undefined || signal.aborted) return group
    throw new MillraceError('LOG_UNAVAILABLE', `the log of dead letters gave nothing within ${ms} ms: try again later`)
  } finally {
    clearTimeout(timer)
    signal.removeEventListener('abort', stop)
  }
}
