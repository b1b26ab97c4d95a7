/** Binary mode (CloudEvents HTTP binding 1.0.2, section 3.1): attributes in `ce-` headers, data in the body. */
import { isUtf8 } from 'node:buffer'
import type { IncomingMessage } from 'node:http'
import { MillraceError } from '../errors.ts'
import { writeEvent } from '../event/complete.ts'
import { scanner } from '../event/names.ts'
import { type Body, readEvents, type Wanted } from './checked-events.ts'
import { requireUtf8, whereMalformed, withoutByteOrderMark } from './json.ts'
import type { MediaType } from './media-type.ts'

/** The headers of a request: one value for each name, and the list of all values for each name. */
export type Headers = Pick<IncomingMessage, 'headers' | 'headersDistinct'>

/** Attributes that binary mode does not put in `ce-` headers, and where they are instead. */
const NOT_IN_HEADERS: Readonly<Record<string, string>> = {
  'ce-data': 'the data is the body',
  'ce-data_base64': 'the data is the body',
  'ce-datacontenttype': 'the type of the data is the content-type',
}
const PREFIX = 'ce-'
const JSON_TYPE = /^[^/]+\/(?:json|[^/]*\+json)$/
const NOT_ASCII = /[^\0-\x7f]/

/**
 * Whether a request is in binary mode: it has `ce-` headers, and its content type is not a CloudEvents type. A request
 * with a CloudEvents type may repeat attributes as headers (section 3.2.2).
 * @throws MillraceError MALFORMED for `ce-` headers without `ce-specversion`: they would be dropped.
 */
export function isBinaryMode({ type }: MediaType, headers: Headers['headers']): boolean {
  if (type.startsWith('application/cloudevents')) return false
  if (headers['ce-specversion'] !== undefined) return true
  for (const name in headers) {
    if (!name.startsWith(PREFIX)) continue
    const fix = 'add ce-specversion: 1.0, or leave out the ce-* headers'
    throw new MillraceError('MALFORMED', `header ${name} without ce-specversion: ${fix}`)
  }
  return false
}

/**
 * JSON is kept byte for byte. Data that is not UTF-8, by its bytes or by its charset, goes into `data_base64`.
 * @throws MillraceError MALFORMED.
 */
export function readBinaryMode(body: Buffer, mediaType: MediaType, headers: Headers, wanted: Wanted): Body {
  const event = attributesOf(headers)
  const { type } = mediaType
  let data: Buffer | undefined
  if (type !== '') event.datacontenttype = decodeUtf8('content-type', onlyOne('content-type', headers))
  if (body.length > 0) {
    if (mediaType.isUtf8 && (type === '' || JSON_TYPE.test(type))) {
      requireUtf8(body)
      data = withoutByteOrderMark(body)
      if (!scanner.scan(data, 'one', () => undefined).isSound) {
        throw new MillraceError('MALFORMED', whereMalformed(data.toString()))
      }
    } else if (mediaType.isUtf8 && type.startsWith('text/') && isUtf8(body)) {
      data = Buffer.from(JSON.stringify(body.toString()))
    } else {
      event.data_base64 = body.toString('base64')
    }
  }
  const read = readEvents(writeEvent(event, data), 'one', 'strict', wanted)
  if (read === undefined) throw new Error('the assembled event is not JSON')
  return read
}

function attributesOf(headers: Headers): Record<string, unknown> {
  const event: Record<string, unknown> = {}
  for (const header in headers.headers) {
    if (!header.startsWith(PREFIX)) continue
    const instead = NOT_IN_HEADERS[header]
    if (instead !== undefined) throw new MillraceError('MALFORMED', `header ${header}: in binary mode ${instead}`)
    const value = decodePercent(header, decodeUtf8(header, onlyOne(header, headers)))
    // Define an own property whatever the name is, so that a header cannot set a prototype.
    Object.defineProperty(event, header.slice(PREFIX.length), { value, enumerable: true })
  }
  return event
}

/** An attribute has one value: with two, it is not known which one is right. */
function onlyOne(header: string, { headersDistinct }: Headers): string {
  const values = headersDistinct[header] ?? []
  if (values.length > 1) throw new MillraceError('MALFORMED', `header ${header} is there twice: send it once`)
  return values[0] ?? ''
}

/** Node reads headers as Latin-1; senders write UTF-8 (cloudevents/spec issue 1397), and some percent-encode it. */
function decodeUtf8(header: string, value: string): string {
  if (!NOT_ASCII.test(value)) return value
  const bytes = Buffer.from(value, 'latin1')
  if (isUtf8(bytes)) return bytes.toString()
  throw new MillraceError('MALFORMED', `header ${header} is not UTF-8: send UTF-8, or percent-encode it`)
}

/** Percent-encoded UTF-8, perhaps in double quotes (section 3.1.3.2). */
function decodePercent(header: string, value: string): string {
  const quoted = /^"(.*)"$/s.exec(value)?.[1]
  try {
    return decodeURIComponent(quoted === undefined ? value : quoted.replace(/\\(.)/gs, '$1'))
  } catch (cause) {
    const problem = `header ${header} is not valid percent-encoding: write a percent sign as %25`
    throw new MillraceError('MALFORMED', problem, { cause })
  }
}
