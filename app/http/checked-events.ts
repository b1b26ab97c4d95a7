/**
 * Checks the events of a body one by one, and keeps them as the bytes that were received. Every format ends here.
 *
 *     body ─scan─▶ places ─check─▶ lines for the log, and a reason for each rejected event
 */
import { MillraceError } from '../errors.ts'
import { identityOfReceived, keyOfReceived } from '../event/attributes.ts'
import { faultOfText, isComplete } from '../event/check.ts'
import { scanner } from '../event/names.ts'
import type { Strictness } from '../event.ts'
import { endOf, type Form, MALFORMED, membersOf, nextHead, type Scanned, startOf } from '../json/scanner.ts'
import { Known } from '../write.ts'
import { faultOfRestricted, type Restrictions } from './identity.ts'
import { whereMalformed } from './json.ts'
import type { Rejected } from './problem.ts'

const NEWLINE = 0x0a
const SPACE = 0x20

export interface Body {
  /** `count` JSON texts, one a line, no newline at the end. */
  readonly payload: Buffer
  readonly count: number
  readonly rejected: Rejected
  readonly known: Known
  /** The key of each event, if `Wanted.keys` is true. */
  readonly keys: readonly string[] | undefined
  readonly identities: readonly (string | undefined)[] | undefined
}

/** Options for reading a body. */
export interface Wanted {
  readonly maxEvents: number
  /** Whether the log spreads events by key, and whether it discards duplicates. */
  readonly keys: boolean
  readonly identities: boolean
  /** Limits of what this client may send. Default: it may send any event. */
  readonly restrictions?: Restrictions | undefined
  /** Whether `text/plain` is read as JSON, because `sendBeacon` sends that type. Default: no. */
  readonly takesText?: boolean
}

/** A body whose events were checked. */
export interface Read extends Body {
  /** All events of the body. `malformed`: how many of them are not JSON. */
  readonly events: number
  readonly malformed: number
}

/**
 * @param bytes valid UTF-8.
 * @returns undefined when the body is not JSON in this form.
 * @throws MillraceError TOO_MANY_EVENTS, OUT_OF_SCOPE.
 */
export function readEvents(bytes: Buffer, form: Form, strictness: Strictness, wanted: Wanted): Read | undefined {
  const found = new Found(bytes, strictness, wanted)
  const { texts, blank, isSound } = scanner.scan(bytes, form, (scanned) => found.take(scanned))
  if (!isSound) return undefined
  requireCount(texts, wanted.maxEvents)
  return { ...found.body(form === 'lines' && blank === 0), events: texts, malformed: found.malformed }
}

class Found {
  malformed = 0
  readonly #bytes: Buffer
  readonly #strictness: Strictness
  readonly #wanted: Wanted
  #texts = 0
  /** Start and end of each accepted event. */
  readonly #places: number[] = []
  readonly #rejected: { index: number; reason: string }[] = []
  readonly #keys: string[] = []
  readonly #identities: (string | undefined)[] = []
  #isComplete = true

  constructor(bytes: Buffer, strictness: Strictness, wanted: Wanted) {
    this.#bytes = bytes
    this.#strictness = strictness
    this.#wanted = wanted
  }

  take({ places, head: first, texts, base }: Scanned): void {
    const { keys, identities, maxEvents, restrictions } = this.#wanted
    const bytes = this.#bytes
    let head = first
    for (let text = 0; text < texts; text++) {
      const index = this.#texts++
      if (index >= maxEvents) return // refused as a whole
      let reason =
        membersOf(places, head) === MALFORMED
          ? this.#whereMalformed(base + startOf(places, head), base + endOf(places, head))
          : faultOfText(bytes, base, places, head, this.#strictness)
      if (restrictions !== undefined && reason === undefined) {
        reason = faultOfRestricted(restrictions, bytes, base, places, head, index)
      }
      if (reason === undefined) {
        this.#places.push(base + startOf(places, head), base + endOf(places, head))
        if (!isComplete(places, head)) this.#isComplete = false
        if (keys) this.#keys.push(keyOfReceived(bytes, base, places, head))
        if (identities) this.#identities.push(identityOfReceived(bytes, base, places, head))
      } else this.#rejected.push({ index, reason })
      head = nextHead(places, head)
    }
  }

  /** @param areLines whether the body already has one event a line, if all of them are accepted. */
  body(areLines: boolean): Body {
    const count = this.#places.length / 2
    const payload = areLines && this.#rejected.length === 0 ? withoutEnd(this.#bytes) : this.#joined()
    return {
      payload,
      count,
      rejected: this.#rejected,
      known: this.#isComplete && payload.length === this.#bytesOfEvents + count - 1 ? Known.COMPLETE : Known.EVENTS,
      keys: this.#wanted.keys ? this.#keys : undefined,
      identities: this.#wanted.identities ? this.#identities : undefined,
    }
  }

  get #bytesOfEvents(): number {
    return this.#places.reduce((sum, place, at) => (at % 2 === 0 ? sum - place : sum + place), 0)
  }

  #joined(): Buffer {
    const joined = Buffer.allocUnsafe(Math.max(0, this.#bytesOfEvents + this.#places.length / 2 - 1))
    let to = 0
    for (let at = 0; at < this.#places.length; at += 2) {
      if (at > 0) joined[to++] = NEWLINE
      const from = to
      to += this.#bytes.copy(joined, to, this.#places[at], this.#places[at + 1])
      // In JSON, a line break is only ever white space between tokens: a string cannot hold one.
      for (let found = joined.indexOf(NEWLINE, from); found !== -1 && found < to; ) {
        joined[found] = SPACE
        found = joined.indexOf(NEWLINE, found + 1)
      }
    }
    return joined
  }

  #whereMalformed(start: number, end: number): string {
    this.malformed += 1
    return whereMalformed(this.#bytes.toString('utf8', start, end))
  }
}

/** Cuts off the line breaks after the last event. */
function withoutEnd(bytes: Buffer): Buffer {
  const RETURN = 0x0d
  let end = bytes.length
  while (end > 0 && (bytes[end - 1] === NEWLINE || bytes[end - 1] === RETURN)) end -= 1
  return bytes.subarray(0, end)
}

/** @throws MillraceError TOO_MANY_EVENTS. */
function requireCount(events: number, maxEvents: number): void {
  if (events <= maxEvents) return
  throw new MillraceError(
    'TOO_MANY_EVENTS',
    `${events} events in one request, the limit is ${maxEvents}: send fewer at a time`,
  )
}
