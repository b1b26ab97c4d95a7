/**
 * From request bodies to encoded events. Each format ends in the same shape: the accepted events as lines, ready for
 * the log, and a reason for each of the others.
 *
 * Received bytes are kept wherever they are already one JSON text a line: nothing is serialised again but arrays.
 */
import { isUtf8 } from 'node:buffer'
import { randomInt } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'
import { type ParseError, parse as parseTolerant, printParseErrorCode } from 'jsonc-parser'
import { MillraceError } from '../errors.ts'
import { isTooDeep, mayBeDeep, type ReceivedEvent, type Strictness, TOO_DEEP, validate } from '../event.ts'
import { Refusal, type Rejected } from './problem.ts'

export interface Body {
  /** `count` JSON texts, one a line, no newline at the end. */
  readonly payload: Buffer
  readonly count: number
  readonly rejected: Rejected
  /** The accepted events, as they were parsed. */
  events(): readonly ReceivedEvent[]
}

const CONTENT_TYPES = [
  'application/json',
  'application/x-ndjson',
  'application/cloudevents+json',
  'application/cloudevents-batch+json',
] as const

const NEWLINE = 0x0a
const COMMA = 0x2c
const OPEN_BRACKET = 0x5b
const CLOSE_BRACKET = 0x5d
const RETURN = 0x0d
const SPACE = 0x20

/**
 * @param body already inflated and within its limit.
 * @throws MillraceError MALFORMED, UNSUPPORTED_TYPE, TOO_MANY_EVENTS, NO_VALID_EVENT (with the reasons).
 */
export function readBody(body: Buffer, headers: IncomingHttpHeaders, maxEvents: number): Body {
  const type = mediaType(headers['content-type'])
  const read = parseAs(type, body, headers, maxEvents)
  if (read.count > 0) return read
  const first = read.rejected[0]
  throw new Refusal('NO_VALID_EVENT', first ? `event ${first.index}: ${first.reason}` : 'no event', read.rejected)
}

function parseAs(type: string, body: Buffer, headers: IncomingHttpHeaders, maxEvents: number): Body {
  if (headers['ce-specversion'] !== undefined && !type.startsWith('application/cloudevents')) {
    return readBinaryMode(body, type, headers)
  }
  if (!(CONTENT_TYPES as readonly string[]).includes(type)) {
    const known = `${CONTENT_TYPES.join(', ')}, or a CloudEvent in binary mode (ce-* headers)`
    throw new MillraceError('UNSUPPORTED_TYPE', `content type ${JSON.stringify(type)} is not supported: use ${known}`)
  }
  if (body.length === 0) throw new MillraceError('MALFORMED', 'the body is empty: send at least one event')
  requireUtf8(body)
  switch (type) {
    case 'application/x-ndjson':
      return readLines(body, maxEvents)
    case 'application/cloudevents+json':
      return readOne(body, parseJson(body), 'strict')
    case 'application/cloudevents-batch+json': {
      const events = parseJson(body)
      if (Array.isArray(events)) return readArray(events, maxEvents, 'strict')
      throw new MillraceError('MALFORMED', 'a CloudEvents batch must be a JSON array')
    }
    default: {
      const value = parseJson(body)
      return Array.isArray(value) ? readArray(value, maxEvents, 'lenient') : readOne(body, value, 'lenient')
    }
  }
}

/** `type/subtype` in lower case. A charset other than UTF-8 is refused: JSON has no other (RFC 8259, section 8.1). */
function mediaType(header: string | undefined): string {
  if (header === undefined) return ''
  const semicolon = header.indexOf(';')
  if (semicolon === -1) return header.trim().toLowerCase()
  const charset = /;\s*charset\s*=\s*"?([^\s";]+)/i.exec(header)?.[1]
  if (charset !== undefined && !/^(utf-?8|us-ascii)$/i.test(charset)) {
    throw new MillraceError('UNSUPPORTED_TYPE', `charset ${JSON.stringify(charset)} is not supported: send UTF-8`)
  }
  return header.slice(0, semicolon).trim().toLowerCase()
}

function requireUtf8(body: Buffer): void {
  if (isUtf8(body)) return
  const text = body.toString()
  let at = 0
  // Decoding put U+FFFD where the bytes are wrong; one that was sent as such is sound.
  for (let found = text.indexOf('\ufffd'); found !== -1; found = text.indexOf('\ufffd', found + 1)) {
    at = Buffer.byteLength(text.slice(0, found))
    if (body.toString('hex', at, at + 3) !== 'efbfbd') break
  }
  throw new MillraceError('MALFORMED', `the body is not UTF-8: see byte ${at}`)
}

function parseJson(body: Buffer): unknown {
  const text = body.toString()
  try {
    return JSON.parse(text)
  } catch {
    throw new MillraceError('MALFORMED', whereMalformed(text))
  }
}

/** V8 does not always say where; a tolerant parser does. Only ever runs on what is already known to be malformed. */
function whereMalformed(text: string): string {
  const errors: ParseError[] = []
  try {
    parseTolerant(text, errors, { disallowComments: true, allowTrailingComma: false, allowEmptyContent: false })
  } catch {
    return 'malformed JSON, nested too deep to say where' // it calls itself for each level
  }
  const offset = Math.min(errors[0]?.offset ?? 0, text.length)
  const before = text.slice(0, offset)
  const line = before.split('\n').length
  const column = offset - before.lastIndexOf('\n')
  const problem = errors[0] ? printParseErrorCode(errors[0].error) : 'invalid token'
  const words = problem.replace(/([a-z])([A-Z])/g, '$1 $2').toLowerCase()
  return `malformed JSON at position ${offset} (line ${line}, column ${column}): ${words}`
}

/** Why an event is not accepted. @param mightBeDeep false when its bytes are too few for that. */
function check(event: unknown, strictness: Strictness, mightBeDeep: boolean): string | undefined {
  const reason = validate(event, strictness)
  if (reason !== undefined || !mightBeDeep) return reason
  return isTooDeep(event) ? TOO_DEEP : undefined
}

/** One event: the received bytes, made one line. A newline in valid JSON is white space between tokens. */
function readOne(body: Buffer, value: unknown, strictness: Strictness): Body {
  const reason = check(value, strictness, mayBeDeep(body))
  if (reason !== undefined) return nothing([{ index: 0, reason }])
  for (let at = body.indexOf(NEWLINE); at !== -1; at = body.indexOf(NEWLINE, at + 1)) body[at] = SPACE
  return { payload: body, count: 1, rejected: [], events: () => [value as ReceivedEvent] }
}

function nothing(rejected: Rejected): Body {
  return { payload: Buffer.alloc(0), count: 0, rejected, events: () => [] }
}

function readArray(events: unknown[], maxEvents: number, strictness: Strictness): Body {
  if (events.length === 0) throw new MillraceError('NO_VALID_EVENT', 'the array is empty: send at least one event')
  requireCount(events.length, maxEvents)
  const accepted: ReceivedEvent[] = []
  const rejected: Rejected = []
  for (const [index, event] of events.entries()) {
    const reason = check(event, strictness, true)
    if (reason === undefined) accepted.push(event as ReceivedEvent)
    else rejected.push({ index, reason })
  }
  const payload = Buffer.from(accepted.map((event) => JSON.stringify(event)).join('\n'))
  return { payload, count: accepted.length, rejected, events: () => accepted }
}

function requireCount(events: number, maxEvents: number): void {
  if (events <= maxEvents) return
  throw new MillraceError(
    'TOO_MANY_EVENTS',
    `${events} events in one request, the limit is ${maxEvents}: send fewer at a time`,
  )
}

/**
 * NDJSON, the bulk path: the whole body in one JSON.parse, the received bytes kept as they are. Anything that is not right is looked at
 * line by line.
 */
function readLines(body: Buffer, maxEvents: number): Body {
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

/** What binary mode has elsewhere. */
const NOT_IN_HEADERS: Readonly<Record<string, string>> = {
  'ce-data': 'the data is the body',
  'ce-data_base64': 'the data is the body',
  'ce-datacontenttype': 'the type of the data is the content-type',
}
const JSON_TYPE = /^[^/]+\/(?:json|[^/]*\+json)$/

/** Binary mode (CloudEvents HTTP binding 1.0.2, section 3.1): attributes in `ce-` headers, data in the body. */
function readBinaryMode(body: Buffer, type: string, headers: IncomingHttpHeaders): Body {
  const event: Record<string, unknown> = {}
  for (const [header, value] of Object.entries(headers)) {
    if (!header.startsWith('ce-')) continue
    const instead = NOT_IN_HEADERS[header]
    if (instead !== undefined) throw new MillraceError('MALFORMED', `header ${header}: in binary mode ${instead}`)
    try {
      // An own property whatever the name: a header is no way to a prototype.
      Object.defineProperty(event, header.slice(3), { value: decodeHeader(String(value)), enumerable: true })
    } catch {
      throw new MillraceError('MALFORMED', `header ${header} is not sound percent-encoding`)
    }
  }
  if (type !== '') event.datacontenttype = headers['content-type']
  if (body.length > 0) {
    if (type === '' || JSON_TYPE.test(type)) {
      requireUtf8(body)
      event.data = parseJson(body)
    } else if (type.startsWith('text/') && isUtf8(body)) {
      event.data = body.toString()
    } else {
      event.data_base64 = body.toString('base64')
    }
  }
  const reason = check(event, 'strict', true)
  if (reason !== undefined) return nothing([{ index: 0, reason }])
  return { payload: Buffer.from(JSON.stringify(event)), count: 1, rejected: [], events: () => [event] }
}

/** Header values are percent-encoded UTF-8, perhaps in double quotes (section 3.1.3.2). */
function decodeHeader(value: string): string {
  const quoted = /^"(.*)"$/.exec(value)?.[1]
  return decodeURIComponent(quoted === undefined ? value : quoted.replace(/\\(.)/g, '$1'))
}
