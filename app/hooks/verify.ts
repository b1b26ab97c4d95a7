/**
 * Checks that a request was signed with a secret of its hook, before the body is parsed or inflated. The signature
 * covers the body as it was received: no sender compresses what it signs, and so a client that cannot sign costs no
 * inflating.
 */
import { createHmac, timingSafeEqual } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'
import { MillraceError } from '../errors.ts'
import type { OpenHook } from './hook.ts'
import type { SignatureScheme } from './scheme.ts'

/** Most signatures: each is compared with the HMAC of each secret. A sender that rotates its secret sends two. */
const MAX_SIGNATURES = 10
const BODY = '{body}'
/** Enough digits for milliseconds since the epoch for the next 30,000 years. */
const TIMESTAMP = /^\d{1,15}$/

type Signed = Pick<OpenHook, 'scheme' | 'fields' | 'keys' | 'toleranceSeconds'>

/**
 * @param body the body as received, with its content codings.
 * @returns when it was signed, milliseconds since the epoch; undefined if the scheme has no timestamp.
 * @throws MillraceError SIGNATURE_INVALID.
 */
export function verify(
  hook: Signed,
  headers: IncomingHttpHeaders,
  body: Buffer,
  nowMs: number = Date.now(),
): number | undefined {
  const { scheme, keys } = hook
  const signatures = itemsOf(headers, scheme.header, scheme.separator, scheme.prefix)
  if (signatures.length > MAX_SIGNATURES) {
    throw invalid(`${scheme.header} has more than ${MAX_SIGNATURES} signatures: sign with the secrets in use only`)
  }
  const timestamp = scheme.timestamp && timestampOf(hook, headers, nowMs)
  const [before, after] = signedAround(hook, headers, timestamp?.text)
  let isGood = false
  for (const key of keys) {
    const hmac = createHmac(scheme.algorithm ?? 'sha256', key)
      .update(before)
      .update(body)
      .update(after)
    const wanted = Buffer.from(hmac.digest(scheme.encoding ?? 'hex'))
    // Compare with all of them, so that the time does not depend on which one matches.
    for (const signature of signatures) if (isSame(wanted, signature, scheme)) isGood = true
  }
  if (isGood) return timestamp?.ms
  const check = 'check the secret, and that nothing on the way changes the body'
  throw invalid(`no signature in ${scheme.header} fits the body and a secret of this hook: ${check}`)
}

function isSame(wanted: Buffer, signature: string, { encoding = 'hex' }: SignatureScheme): boolean {
  const given = Buffer.from(encoding === 'hex' ? signature.toLowerCase() : signature)
  return given.length === wanted.length && timingSafeEqual(given, wanted)
}

/** The parts of a header that begin with the prefix, without it. At least one. */
function itemsOf(headers: IncomingHttpHeaders, name: string, separator: string | undefined, prefix = ''): string[] {
  const value = headerOf(headers, name)
  const items = separator === undefined ? [value] : value.split(separator)
  const found = items.filter((item) => item.startsWith(prefix)).map((item) => item.slice(prefix.length))
  if (found.length === 0) throw invalid(`header ${name} has nothing that begins with ${JSON.stringify(prefix)}`)
  return found
}

/** The timestamp, if it is within the window around now. This refuses replays of old requests, and wrong clocks. */
function timestampOf({ scheme, toleranceSeconds }: Signed, headers: IncomingHttpHeaders, nowMs: number) {
  const { header = '', prefix, unit = 's' } = scheme.timestamp ?? {}
  const separator = header === scheme.header ? scheme.separator : undefined
  const [text = ''] = itemsOf(headers, header, separator, prefix)
  if (!TIMESTAMP.test(text)) throw invalid(`the timestamp in ${header} is not a whole number of ${unit} since 1970`)
  const ms = Number(text) * (unit === 's' ? 1000 : 1)
  const apartSeconds = Math.abs(nowMs - ms) / 1000
  if (apartSeconds > toleranceSeconds) {
    const limit = `${Math.floor(apartSeconds)} s from the clock here, the limit is ${toleranceSeconds}`
    throw invalid(`the timestamp in ${header} is ${limit}: sign each attempt when it is sent, and set the clock`)
  }
  return { text, ms }
}

/** The signed text before and after the body. */
function signedAround({ scheme, fields }: Signed, headers: IncomingHttpHeaders, timestamp = ''): [string, string] {
  const { signed = scheme.timestamp ? `{timestamp}.${BODY}` : BODY } = scheme
  const { id } = fields
  const fill = (part: string) =>
    part.replaceAll(/\{(id|timestamp)\}/g, (_all, name) => {
      if (name === 'timestamp') return timestamp
      return id !== undefined && 'header' in id ? headerOf(headers, id.header) : ''
    })
  const [before = '', after = ''] = signed.split(BODY)
  return [fill(before), fill(after)]
}

function headerOf(headers: IncomingHttpHeaders, name: string): string {
  const value = headers[name]
  if (typeof value !== 'string' || value === '') {
    throw invalid(`header ${name} is missing: send the request signed with a secret of this hook`)
  }
  return value
}

function invalid(problem: string): MillraceError {
  return new MillraceError('SIGNATURE_INVALID', problem)
}
