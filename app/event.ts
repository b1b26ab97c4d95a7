/**
 * The Event: a CloudEvent 1.0 (https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md), and its
 * validation.
 *
 *     received bytes ─check─▶ log: the bytes as received ─complete─▶ Item: bytes for sinks, an Event for handlers
 *
 * Events stay bytes from the socket to the sink. event/check.ts checks them without making objects, and
 * event/complete.ts fills in what a short event left out. This file defines which values are valid.
 */
import { isIPv6 } from 'node:net'
import { isTime } from './event/time.ts'

export type { Event } from './event/cloud-event.ts'

/** A validated event as received, which may be incomplete. */
type ReceivedEvent = Readonly<Record<string, unknown>>

/** Maximum length of `id`, `type`, `source`, `subject` and each extension, UTF-16 code units. */
export const MAX_ATTRIBUTE_LENGTH = 1024
/**
 * Maximum nesting of objects and arrays; `data` itself is level 1. JSON.parse has no limit, but JSON.stringify and
 * other readers fail at some thousand levels (Jackson: 1,000). Such an event would be acknowledged and then stop every
 * sink.
 */
export const MAX_DEPTH = 512
export const TOO_DEEP = `data is nested more than ${MAX_DEPTH} deep: flatten it, or send it as text`

export const DEFAULT_SOURCE = 'millrace'
export const DEFAULT_TYPE = 'event'

/** `strict`: only complete CloudEvents. `lenient`: also short events, `{"id": 1, "data": …}`. */
export type Strictness = 'strict' | 'lenient'

const ATTRIBUTE_NAME = /^[a-z0-9]{1,64}$/
const SCHEME = /^[A-Za-z][A-Za-z\d+.-]*:/
/**
 * RFC 3986: scheme, or no colon in the first segment; authority, perhaps an IP literal (the group); path; query;
 * fragment.
 */
const URI_REFERENCE = (() => {
  const unreserved = "\\w\\-.~!$&'()*+,;="
  const percent = '%[\\da-fA-F]{2}'
  const literal = `\\[((?:[${unreserved}:]|%25(?=[^\\]]))+)\\]`
  const authority = `(?:(?:[${unreserved}:]|${percent})*@)?(?:${literal}|(?:[${unreserved}]|${percent})*)(?::\\d*)?`
  const path = `(?:[${unreserved}:@/]|${percent})*`
  const rest = `(?:[${unreserved}:@/?]|${percent})*`
  return new RegExp(
    `^(?:[A-Za-z][A-Za-z\\d+.-]*:|(?![^/?#]*:))(?://${authority}(?=[/?#]|$)|(?!//))${path}(?:\\?${rest})?(?:#${rest})?$`,
  )
})()
/** An address of a future IP version (RFC 3986, section 3.2.2). */
const IP_FUTURE = /^v[\da-f]+\.[^%]+$/i
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/
/** Characters that the type String of CloudEvents excludes: control characters, unpaired surrogates, noncharacters. */
const FORBIDDEN = /[\p{Cc}\p{Cs}\p{Noncharacter_Code_Point}]/u
const FORBIDDEN_WORDS = 'a control character, a noncharacter, or half a surrogate pair'
/** The type Integer of CloudEvents. */
const MIN_INTEGER = -(2 ** 31)
const MAX_INTEGER = 2 ** 31 - 1

const FIRST_PRINTABLE = 0x20
const LAST_ASCII_PRINTABLE = 0x7e

/** Version, trace, span, flags; `ff` and all zeros are invalid. */
const TRACEPARENT = /^(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/

const WHOLE_NUMBER = /^(?:-?[1-9]\d*|0)$/

/** Whether a JSON number is a whole number in its usual form: not `1.0`, `1e3` or `-0`, nor longer than an `id`. */
export function isWholeNumber(text: string): boolean {
  return text.length <= MAX_ATTRIBUTE_LENGTH && WHOLE_NUMBER.test(text)
}

/** The text of an `id` that is a JSON number. */
export function numberText(text: string): string {
  return isWholeNumber(text) ? text : String(JSON.parse(text))
}

/**
 * Whether the value is a valid header (https://www.w3.org/TR/trace-context/): the attribute of an event can be any
 * text.
 */
export function isTraceparent(value: unknown): value is string {
  return typeof value === 'string' && TRACEPARENT.test(value)
}

/**
 * Why `value` is not a valid event, for its sender; undefined when it is valid.
 * A value with `specversion` must be a complete CloudEvent; without, it needs `data` and the rest is optional.
 * `null` means absent (CloudEvents JSON format, section 2.2), except for `data`.
 */
export function validate(value: unknown, strictness: Strictness = 'lenient'): string | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return `an event must be a JSON object, not ${describe(value)}`
  }
  const event = value as ReceivedEvent
  for (const name in event) {
    const reason = checkAttribute(name, event[name])
    if (reason !== undefined) return reason
  }
  if (event.data_base64 != null && event.data !== undefined) return 'data and data_base64 exclude each other'
  if (event.specversion != null) return checkComplete(event)
  if (strictness === 'strict') return 'specversion is missing: a CloudEvent needs "specversion": "1.0"'
  if (event.data === undefined && event.data_base64 == null) {
    return 'data is missing: send {"data": …}, or a CloudEvent with specversion, id, source and type'
  }
  return undefined
}

function checkComplete(event: ReceivedEvent): string | undefined {
  for (const name of ['id', 'source', 'type']) {
    if (event[name] == null) return `${name} is missing: a CloudEvent needs it`
  }
  if (typeof event.id !== 'string') return 'id must be a string in a CloudEvent'
  return undefined
}

function checkAttribute(name: string, value: unknown): string | undefined {
  switch (name) {
    case 'data':
      return undefined
    case 'id':
      // New users often send numbers as ids. They become strings when the event is completed.
      if (typeof value === 'number')
        return Number.isSafeInteger(value) ? undefined : 'id must be a string or an integer'
      return checkText(name, value)
    case 'source': {
      const reason = checkText(name, value)
      if (reason !== undefined || value == null) return reason
      return isUriReference(String(value))
        ? undefined
        : 'source must be a URI reference (RFC 3986), such as "/shop/orders"'
    }
    case 'type':
    case 'subject':
    case 'datacontenttype':
      return checkText(name, value)
    case 'specversion':
      return value == null || value === '1.0' ? undefined : `specversion must be "1.0", not ${describe(value)}`
    case 'time':
      if (value == null || (typeof value === 'string' && isTime(Buffer.from(value)))) return undefined
      return 'time must be an RFC 3339 time, such as "2026-01-31T12:00:00Z"'
    case 'dataschema': {
      const reason = checkText(name, value)
      if (reason !== undefined || value == null) return reason
      if (SCHEME.test(String(value)) && isUriReference(String(value))) return undefined
      return 'dataschema must be an absolute URI'
    }
    case 'data_base64':
      if (value == null || (typeof value === 'string' && BASE64.test(value))) return undefined
      return 'data_base64 must be base64 (RFC 4648)'
    default:
      return checkExtension(name, value)
  }
}

/** A host in brackets is an IPv6 address, perhaps with a zone (RFC 6874), or an address of a future version. */
function isUriReference(text: string): boolean {
  const match = URI_REFERENCE.exec(text)
  const literal = match?.[1]
  return match !== null && (literal === undefined || IP_FUTURE.test(literal) || isIPv6(literal.replace('%25', '%')))
}

function checkText(name: string, value: unknown): string | undefined {
  if (value == null) return undefined
  if (typeof value !== 'string') return `${name} must be a string, not ${describe(value)}`
  if (value.length === 0) return `${name} must not be empty`
  if (value.length > MAX_ATTRIBUTE_LENGTH) {
    return `${name} has ${value.length} characters, the limit is ${MAX_ATTRIBUTE_LENGTH}`
  }
  return isForbidden(value) ? `${name} holds ${FORBIDDEN_WORDS}` : undefined
}

/** Most text is ASCII, which a loop checks five times faster than the expression. */
function isForbidden(text: string): boolean {
  for (let at = 0; at < text.length; at++) {
    const unit = text.charCodeAt(at)
    if (unit < FIRST_PRINTABLE || unit > LAST_ASCII_PRINTABLE) return FORBIDDEN.test(text)
  }
  return false
}

function checkExtension(name: string, value: unknown): string | undefined {
  if (!ATTRIBUTE_NAME.test(name)) {
    return `${quote(name)} is not an attribute name (1–64 lower-case letters and digits): put it inside data`
  }
  if (typeof value === 'string') {
    if (value.length > MAX_ATTRIBUTE_LENGTH) {
      return `${name} has ${value.length} characters, the limit is ${MAX_ATTRIBUTE_LENGTH}`
    }
    return isForbidden(value) ? `${name} holds ${FORBIDDEN_WORDS}` : undefined
  }
  if (value === null || typeof value === 'boolean') return undefined
  if (typeof value === 'number' && Number.isInteger(value)) {
    if (value >= MIN_INTEGER && value <= MAX_INTEGER) return undefined
    return `${name} must be between ${MIN_INTEGER} and ${MAX_INTEGER}, not ${value}: send it as a string, or inside data`
  }
  return `${name} must be a string, an integer or a boolean, not ${describe(value)}: put it inside data`
}

export function describe(value: unknown): string {
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'an array'
  if (typeof value === 'object') return 'an object'
  return typeof value === 'string' ? quote(value) : String(value)
}

function quote(text: string): string {
  return JSON.stringify(text.length > 40 ? `${text.slice(0, 40)}…` : text)
}
