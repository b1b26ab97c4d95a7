/**
 * From request bodies to encoded events. Each format ends in the same shape: the accepted events as lines, ready for
 * the log, and a reason for each of the others.
 *
 * Received bytes are kept wherever they are already one JSON text a line: nothing is serialised again but arrays.
 */
import { MillraceError } from '../errors.ts'
import { mayBeDeep, type ReceivedEvent, type Strictness } from '../event.ts'
import { type Headers, isBinaryMode, readBinaryMode } from './binary-mode.ts'
import { type Body, check, nothing, requireCount } from './checked-events.ts'
import { parseJson, requireUtf8 } from './json.ts'
import { type MediaType, mediaType } from './media-type.ts'
import { readLines } from './ndjson.ts'
import { Refusal, type Rejected } from './problem.ts'

const CONTENT_TYPES = [
  'application/json',
  'application/x-ndjson',
  'application/cloudevents+json',
  'application/cloudevents-batch+json',
] as const
/** No registry has a type for one JSON text a line: these are in use. */
const NDJSON_TYPES = new Set(
  'application/x-ndjson application/ndjson application/jsonl application/x-jsonl application/jsonlines application/x-jsonlines'.split(
    ' ',
  ),
)

const NEWLINE = 0x0a
const SPACE = 0x20

/**
 * @param body already inflated and within its limit.
 * @returns no events at all only for an empty array, which is a valid batch.
 * @throws MillraceError MALFORMED, UNSUPPORTED_TYPE, TOO_MANY_EVENTS, NO_VALID_EVENT (with the reasons).
 */
export function readBody(body: Buffer, headers: Headers, maxEvents: number): Body {
  const read = parseAs(mediaType(headers.headers['content-type']), body, headers, maxEvents)
  const [first] = read.rejected
  if (read.count > 0 || first === undefined) return read
  throw new Refusal('NO_VALID_EVENT', `event ${first.index}: ${first.reason}`, read.rejected)
}

function parseAs(mediaType: MediaType, body: Buffer, headers: Headers, maxEvents: number): Body {
  if (isBinaryMode(mediaType, headers.headers)) return readBinaryMode(body, mediaType, headers)
  const { type, isUtf8 } = mediaType
  const isNdjson = NDJSON_TYPES.has(type)
  if (!isNdjson && !(CONTENT_TYPES as readonly string[]).includes(type)) {
    const known = `${CONTENT_TYPES.join(', ')}, or a CloudEvent in binary mode (ce-* headers)`
    throw new MillraceError('UNSUPPORTED_TYPE', `content type ${JSON.stringify(type)} is not supported: use ${known}`)
  }
  // JSON has no other charset (RFC 8259, section 8.1).
  if (!isUtf8) {
    throw new MillraceError('UNSUPPORTED_TYPE', `${type} has no charset but UTF-8 (RFC 8259): send that`)
  }
  if (body.length === 0) throw new MillraceError('MALFORMED', 'the body is empty: send at least one event')
  requireUtf8(body)
  if (isNdjson) return readLines(body, maxEvents)
  const value = parseJson(body)
  switch (type) {
    case 'application/cloudevents+json':
      return readOne(body, value, 'strict')
    case 'application/cloudevents-batch+json':
      if (Array.isArray(value)) return readArray(value, maxEvents, 'strict')
      throw new MillraceError('MALFORMED', 'a CloudEvents batch must be a JSON array')
    default:
      return Array.isArray(value) ? readArray(value, maxEvents, 'lenient') : readOne(body, value, 'lenient')
  }
}

/** One event: the received bytes, made one line. A newline in valid JSON is white space between tokens. */
function readOne(body: Buffer, value: unknown, strictness: Strictness): Body {
  const reason = check(value, strictness, mayBeDeep(body))
  if (reason !== undefined) return nothing([{ index: 0, reason }])
  for (let at = body.indexOf(NEWLINE); at !== -1; at = body.indexOf(NEWLINE, at + 1)) body[at] = SPACE
  return { payload: body, count: 1, rejected: [], events: () => [value as ReceivedEvent] }
}

function readArray(events: unknown[], maxEvents: number, strictness: Strictness): Body {
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
