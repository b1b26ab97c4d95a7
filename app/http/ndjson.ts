/** NDJSON: one JSON text a line. Blank lines are no events, and are not counted. */
import { randomInt } from 'node:crypto'
import { MillraceError } from '../errors.ts'
import { mayBeDeep, type ReceivedEvent } from '../event.ts'
import { type Body, check, requireCount } from './checked-events.ts'
import { whereMalformed } from './json.ts'
import { Refusal, type Rejected } from './problem.ts'

const NEWLINE = 0x0a
const COMMA = 0x2c
const OPEN_BRACKET = 0x5b
const CLOSE_BRACKET = 0x5d
const RETURN = 0x0d

/**
 * NDJSON, the bulk path: the whole body in one JSON.parse, the received bytes kept as they are. Anything that is not right is looked at
 * line by line.
 */
export function readLines(body: Buffer, maxEvents: number): Body {
  let end = body.length
  while (end > 0 && (body[end - 1] === NEWLINE || body[end - 1] === RETURN)) end -= 1
  const payload = body.subarray(0, end)
  const isJoinable = payload.length <= scratch.length - 2 && !AFTER_OBJECT.test(payload.toString('latin1'))
  const events = isJoinable ? parseJoined(payload) : parseSeparated(payload)
  if (events === undefined) return readLineByLine(payload.toString(), maxEvents)
  requireCount(events.length, maxEvents)
  const mightBeDeep = mayBeDeep(payload)
  for (const event of events) {
    if (check(event, 'lenient', mightBeDeep) !== undefined) return readLineByLine(payload.toString(), maxEvents)
  }
  return { payload, count: events.length, rejected: [], events: () => events as ReceivedEvent[] }
}

/** A comma that follows an object on the same line, or looks so within a string. */
const AFTER_OBJECT = /\}[ \t\r]*,/
/** For one body at a time, the same for all: a buffer each would be memory that is freed late. Larger ones go the other way. */
const scratch = Buffer.allocUnsafeSlow(256 * 1024)

/**
 * The events of lines in which no comma follows an object, with commas for line breaks: as many objects as lines are one a line.
 * For an object that ends within a line is followed there by nothing that begins another element, so that elements end at line breaks
 * only; when there are as many as lines, they end at each. That all are objects, {@link validate} says.
 */
function parseJoined(payload: Buffer): unknown[] | undefined {
  scratch[0] = OPEN_BRACKET
  scratch.set(payload, 1)
  scratch[payload.length + 1] = CLOSE_BRACKET
  let lines = 1
  const array = scratch.subarray(0, payload.length + 2)
  for (let at = array.indexOf(NEWLINE); at !== -1; at = array.indexOf(NEWLINE, at + 1)) {
    array[at] = COMMA
    lines += 1
  }
  const events = parseArray(array.toString())
  return events?.length === lines ? events : undefined
}

/**
 * What stands between two lines otherwise. It shows that every line is one JSON text by itself: two texts on one line
 * lack it between them, and one that goes over a line break swallows it, so that there are fewer than line breaks.
 * Unguessable, so that no body can carry it on purpose. V8 takes longer for numbers of ten digits.
 */
const SEPARATOR = randomInt(100_000_000, 1_000_000_000)
const JOINT = `,${SEPARATOR},`

function parseSeparated(payload: Buffer): unknown[] | undefined {
  const text = payload.toString()
  const joined = text.replaceAll('\n', JOINT)
  const lines = (joined.length - text.length) / (JOINT.length - 1) + 1
  const parsed = parseArray(`[${joined}]`)
  if (parsed?.length !== 2 * lines - 1) return undefined
  const events: unknown[] = []
  for (const [at, value] of parsed.entries()) {
    if (at % 2 === 0) events.push(value)
    else if (value !== SEPARATOR) return undefined
  }
  return events
}

function parseArray(text: string): unknown[] | undefined {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** The same with a reason for each bad line; blank lines are no events. */
function readLineByLine(text: string, maxEvents: number): Body {
  const lines = text.split('\n').filter((line) => line.trim() !== '')
  requireCount(lines.length, maxEvents)
  const accepted: string[] = []
  const events: ReceivedEvent[] = []
  const rejected: Rejected = []
  let malformed = 0
  for (const [index, line] of lines.entries()) {
    let reason: string | undefined
    try {
      const event: ReceivedEvent = JSON.parse(line)
      reason = check(event, 'lenient', true)
      if (reason === undefined) events.push(event)
    } catch {
      malformed += 1
      reason = whereMalformed(line)
    }
    if (reason === undefined) accepted.push(line)
    else rejected.push({ index, reason })
  }
  if (lines.length === 0) throw new MillraceError('MALFORMED', 'the body holds no event: send one JSON object a line')
  if (malformed === lines.length) throw new Refusal('MALFORMED', `line 1: ${rejected[0]?.reason}`, rejected)
  return { payload: Buffer.from(accepted.join('\n')), count: accepted.length, rejected, events: () => events }
}
