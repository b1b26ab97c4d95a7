/**
 * From request bodies to encoded events. Every format gives the same result: the accepted events as lines, ready for
 * the log, and a reason for each rejected event. The text of an event is kept as received, never parsed and rewritten.
 */
import { MillraceError } from '../errors.ts'
import { scanner } from '../event/names.ts'
import type { Strictness } from '../event.ts'
import { type Headers, isBinaryMode, readBinaryMode } from './binary-mode.ts'
import { type Body, readEvents, type Wanted } from './checked-events.ts'
import { requireUtf8, whereMalformed, withoutByteOrderMark } from './json.ts'
import { type MediaType, mediaType } from './media-type.ts'
import { Refusal } from './problem.ts'

const CONTENT_TYPES = [
  'application/json',
  'application/x-ndjson',
  'application/cloudevents+json',
  'application/cloudevents-batch+json',
] as const
/** NDJSON has no registered media type. These names are in use. */
const NDJSON_TYPES = new Set(
  'application/x-ndjson application/ndjson application/jsonl application/x-jsonl application/jsonlines application/x-jsonlines'.split(
    ' ',
  ),
)

const OPEN_ARRAY = 0x5b
/** White space of JSON (RFC 8259, section 2). */
const WHITE_SPACE = new Set([0x20, 0x09, 0x0a, 0x0d])

/**
 * @param body already inflated and within its limit.
 * @returns at least one event, except for an empty array, which is a valid batch.
 * @throws MillraceError MALFORMED, UNSUPPORTED_TYPE, TOO_MANY_EVENTS, OUT_OF_SCOPE, NO_VALID_EVENT (with the reasons).
 */
export function readBody(body: Buffer, headers: Headers, wanted: Wanted): Body {
  const read = parseAs(mediaType(headers.headers['content-type']), body, headers, wanted)
  const [first] = read.rejected
  if (read.count > 0 || first === undefined) return read
  throw new Refusal('NO_VALID_EVENT', `event ${first.index}: ${first.reason}`, read.rejected)
}

function parseAs(mediaType: MediaType, received: Buffer, headers: Headers, wanted: Wanted): Body {
  if (isBinaryMode(mediaType, headers.headers)) return readBinaryMode(received, mediaType, headers, wanted)
  const { type, isUtf8 } = mediaType
  const isText = wanted.takesText === true && type === 'text/plain'
  const isNdjson = NDJSON_TYPES.has(type) || (isText && !isArray(received))
  if (!isNdjson && !isText && !(CONTENT_TYPES as readonly string[]).includes(type)) {
    const known = `${CONTENT_TYPES.join(', ')}, or a CloudEvent in binary mode (ce-* headers)`
    throw new MillraceError('UNSUPPORTED_TYPE', `content type ${JSON.stringify(type)} is not supported: use ${known}`)
  }
  // JSON is always UTF-8 (RFC 8259, section 8.1).
  if (!isUtf8) {
    throw new MillraceError('UNSUPPORTED_TYPE', `${type} has no charset but UTF-8 (RFC 8259): send that`)
  }
  requireUtf8(received)
  const body = withoutByteOrderMark(received)
  if (body.length === 0) throw new MillraceError('MALFORMED', 'the body is empty: send at least one event')
  if (isNdjson) return readLines(body, wanted)
  switch (type) {
    case 'application/cloudevents+json':
      return readWhole(body, 'one', 'strict', wanted)
    case 'application/cloudevents-batch+json':
      if (isArray(body)) return readWhole(body, 'array', 'strict', wanted)
      if (!scanner.scan(body, 'one', () => undefined).isSound) throw malformed(body)
      throw new MillraceError('MALFORMED', 'a CloudEvents batch must be a JSON array')
    default:
      return readWhole(body, isArray(body) ? 'array' : 'one', 'lenient', wanted)
  }
}

function isArray(body: Buffer): boolean {
  return body.find((byte) => !WHITE_SPACE.has(byte)) === OPEN_ARRAY
}

/** @throws MillraceError MALFORMED with the position of the error. */
function readWhole(body: Buffer, form: 'one' | 'array', strictness: Strictness, wanted: Wanted): Body {
  const read = readEvents(body, form, strictness, wanted)
  if (read === undefined) throw malformed(body)
  return read
}

/** NDJSON: one JSON text a line. Blank lines are skipped and not counted. */
function readLines(body: Buffer, wanted: Wanted): Body {
  const read = readEvents(body, 'lines', 'lenient', wanted)
  if (read === undefined || read.events === 0) {
    throw new MillraceError('MALFORMED', 'the body holds no event: send one JSON object a line')
  }
  const { events, malformed, rejected } = read
  if (malformed === events) throw new Refusal('MALFORMED', `line 1: ${rejected[0]?.reason}`, rejected)
  return read
}

function malformed(body: Buffer): MillraceError {
  return new MillraceError('MALFORMED', whereMalformed(body.toString()))
}
