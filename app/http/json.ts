/** Helpers for a JSON body: byte order mark, UTF-8, and where and why the JSON is invalid. */
import { isUtf8 } from 'node:buffer'
import { type ParseError, parse as parseTolerant, printParseErrorCode } from 'jsonc-parser'
import { MillraceError } from '../errors.ts'

const BYTE_ORDER_MARK = Buffer.from('\ufeff')

/** Readers may ignore a byte order mark before JSON (RFC 8259, section 8.1); what is stored must not have one. */
export function withoutByteOrderMark(body: Buffer): Buffer {
  if (body[0] !== BYTE_ORDER_MARK[0] || !body.subarray(0, BYTE_ORDER_MARK.length).equals(BYTE_ORDER_MARK)) return body
  return body.subarray(BYTE_ORDER_MARK.length)
}

/** @throws MillraceError MALFORMED with the first byte that is not UTF-8. */
export function requireUtf8(body: Buffer): void {
  if (isUtf8(body)) return
  const text = body.toString()
  let at = 0
  // Decoding replaces invalid bytes with U+FFFD. A U+FFFD that the client sent is valid.
  for (let found = text.indexOf('\ufffd'); found !== -1; found = text.indexOf('\ufffd', found + 1)) {
    at = Buffer.byteLength(text.slice(0, found))
    if (body.toString('hex', at, at + 3) !== 'efbfbd') break
  }
  throw new MillraceError('MALFORMED', `the body is not UTF-8: see byte ${at}`)
}

/** Finds the error with a tolerant parser, because V8 does not always give the position. Only for malformed JSON. */
export function whereMalformed(text: string): string {
  const errors: ParseError[] = []
  try {
    parseTolerant(text, errors, { disallowComments: true, allowTrailingComma: false, allowEmptyContent: false })
  } catch {
    return 'malformed JSON, nested too deep to say where' // the parser recurses for each level
  }
  const offset = Math.min(errors[0]?.offset ?? 0, text.length)
  const before = text.slice(0, offset)
  const line = before.split('\n').length
  const column = offset - before.lastIndexOf('\n')
  const problem = errors[0] ? printParseErrorCode(errors[0].error) : 'invalid token'
  const words = problem.replace(/([a-z])([A-Z])/g, '$1 $2').toLowerCase()
  return `malformed JSON at position ${offset} (line ${line}, column ${column}): ${words}`
}
