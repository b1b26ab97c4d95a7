/** What every format of a body ends in: its events, checked one by one. */
import { MillraceError } from '../errors.ts'
import { isTooDeep, type ReceivedEvent, type Strictness, TOO_DEEP, validate } from '../event.ts'
import type { Rejected } from './problem.ts'

export interface Body {
  /** `count` JSON texts, one a line, no newline at the end. */
  readonly payload: Buffer
  readonly count: number
  readonly rejected: Rejected
  /** The accepted events, as they were parsed. */
  events(): readonly ReceivedEvent[]
}

/** Why an event is not accepted. @param mightBeDeep false when its bytes are too few for that. */
export function check(event: unknown, strictness: Strictness, mightBeDeep: boolean): string | undefined {
  const reason = validate(event, strictness)
  if (reason !== undefined || !mightBeDeep) return reason
  return isTooDeep(event) ? TOO_DEEP : undefined
}

/** None of them was acceptable; or there was none at all. */
export function nothing(rejected: Rejected): Body {
  return { payload: Buffer.alloc(0), count: 0, rejected, events: () => [] }
}

/** @throws MillraceError TOO_MANY_EVENTS. */
export function requireCount(events: number, maxEvents: number): void {
  if (events <= maxEvents) return
  throw new MillraceError(
    'TOO_MANY_EVENTS',
    `${events} events in one request, the limit is ${maxEvents}: send fewer at a time`,
  )
}
