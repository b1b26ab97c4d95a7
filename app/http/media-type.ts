/** Content-Type (RFC 9110, section 8.3). */
import { parse } from 'fast-content-type-parse'
import { MillraceError } from '../errors.ts'

export interface MediaType {
  /** `type/subtype` in lower case; empty when the request names none. */
  readonly type: string
  /** Whether text is UTF-8: the charset is absent, UTF-8, or its subset US-ASCII. */
  readonly isUtf8: boolean
}

const NONE: MediaType = { type: '', isUtf8: true }
const PLAIN = /^[a-z]+\/[a-z+-]+$/
/** How many characters of a header an answer quotes. */
const MAX_QUOTED = 100
const UTF8 = /^(utf-?8|us-ascii)$/i

/** @throws MillraceError UNSUPPORTED_TYPE when the header cannot be read. */
export function mediaType(header: string | undefined): MediaType {
  if (header === undefined || header === '') return NONE
  if (PLAIN.test(header)) return { type: header, isUtf8: true }
  try {
    const { type, parameters } = parse(header)
    return { type, isUtf8: parameters.charset === undefined || UTF8.test(parameters.charset) }
  } catch (cause) {
    const problem = `content type ${JSON.stringify(header.slice(0, MAX_QUOTED))} cannot be read: send type/subtype; parameter=value`
    throw new MillraceError('UNSUPPORTED_TYPE', problem, { cause })
  }
}
