/**
 * The Event: a CloudEvent 1.0 (https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md), validated.
 *
 *     received JSON ──validate──▶ Record: the bytes as received, kept in the log ──complete──▶ Event for handlers, sinks
 *
 * The log keeps what was received; the attributes that a short event left out are filled in when it is read, from what
 * the log knows for good: its id, the offset and the time of the group. So completing again after a crash gives the
 * same event, and the write path never serialises what it has just parsed.
 */
import { isIPv6 } from 'node:net'

/** Attributes beside these are CloudEvents extensions: lower-case letters and digits, scalar values. */
export interface Event<Data = unknown> {
  readonly specversion: '1.0'
  readonly id: string
  readonly source: string
  readonly type: string
  readonly subject?: string
  /** RFC 3339. */
  readonly time?: string
  readonly datacontenttype?: string
  readonly dataschema?: string
  readonly data?: Data
  /** Binary data, base64 (RFC 4648); never together with `data`. */
  readonly data_base64?: string
  readonly [extension: string]: unknown
}

/** A validated but perhaps incomplete event, as parsed from the request or the log. */
export type ReceivedEvent = Readonly<Record<string, unknown>>

/** UTF-16 units that `id`, `type`, `source`, `subject` and each extension may have. */
export const MAX_ATTRIBUTE_LENGTH = 1024
/**
 * Objects and arrays within each other, `data` itself being one. JSON.parse knows no limit, but JSON.stringify and what reads
 * events elsewhere end at some thousand: such an event would be acknowledged and stop every sink. Jackson has 1,000.
 */
export const MAX_DEPTH = 512
/** An event of fewer bytes cannot be deeper. */
const DEEP_BYTES = 2 * MAX_DEPTH
export const TOO_DEEP = `data is nested more than ${MAX_DEPTH} deep: flatten it, or send it as text`
const NEWLINE = 0x0a

export const DEFAULT_SOURCE = 'millrace'
export const DEFAULT_TYPE = 'event'

/** `strict`: only complete CloudEvents. `lenient`: also short events, `{"id": 1, "data": …}`. */
export type Strictness = 'strict' | 'lenient'

const ATTRIBUTE_NAME = /^[a-z0-9]{1,64}$/
const SCHEME = /^[A-Za-z][A-Za-z\d+.-]*:/
/** RFC 3986: scheme, or no colon in the first segment; authority, perhaps an IP literal (the group); path; query; fragment. */
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
/** An address of a version that is not there yet (RFC 3986, section 3.2.2). */
const IP_FUTURE = /^v[\da-f]+\.[^%]+$/i
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/
/** What the type String of CloudEvents leaves out: control characters, halves of surrogate pairs, noncharacters. */
const FORBIDDEN = /[\p{Cc}\p{Cs}\p{Noncharacter_Code_Point}]/u
const FORBIDDEN_WORDS = 'a control character, a noncharacter, or half a surrogate pair'
/** The type Integer of CloudEvents. */
const MIN_INTEGER = -(2 ** 31)
const MAX_INTEGER = 2 ** 31 - 1

const FIRST_PRINTABLE = 0x20
const LAST_ASCII_PRINTABLE = 0x7e
const ZERO = 0x30
const COLON = 0x3a
const DASH = 0x2d
const DOT = 0x2e
const PLUS = 0x2b
const UPPER_T = 0x54
const UPPER_Z = 0x5a
/** Makes a letter of ASCII a lower-case one. */
const LOWER = 0x20
const MINUTES_A_DAY = 24 * 60

/** Version, trace, span, flags; `ff` and all zeros are invalid. */
const TRACEPARENT = /^(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/

/** Whether it can go on as a header (https://www.w3.org/TR/trace-context/); an event may bring any text under that name. */
export function isTraceparent(value: unknown): value is string {
  return typeof value === 'string' && TRACEPARENT.test(value)
}

/** Sources repeat: the last good one is not matched again. */
let lastGoodSource = DEFAULT_SOURCE

/**
 * Why `value` is not acceptable, in the words of who sent it, or undefined when it is.
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
      // Numbers are what the first users of every pipeline send; they become strings when the event is completed.
      if (typeof value === 'number')
        return Number.isSafeInteger(value) ? undefined : 'id must be a string or an integer'
      return checkText(name, value)
    case 'source': {
      if (value === lastGoodSource) return undefined
      const reason = checkText(name, value)
      if (reason !== undefined || value == null) return reason
      if (!isUriReference(String(value))) return 'source must be a URI reference (RFC 3986), such as "/shop/orders"'
      lastGoodSource = String(value)
      return undefined
    }
    case 'type':
    case 'subject':
    case 'datacontenttype':
      return checkText(name, value)
    case 'specversion':
      return value == null || value === '1.0' ? undefined : `specversion must be "1.0", not ${describe(value)}`
    case 'time':
      if (value == null || (typeof value === 'string' && isTime(value))) return undefined
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

/** Whether any of the lines is long enough to hold what is too deep: looks at few of the bytes. */
export function mayBeDeep(lines: Buffer): boolean {
  for (let at = 0; lines.length - at >= DEEP_BYTES; ) {
    const newline = lines.lastIndexOf(NEWLINE, at + DEEP_BYTES - 1)
    if (newline < at) return true
    at = newline + 1
  }
  return false
}

/** @param value an event as it was parsed; for what is inside it, `levels` more may follow. */
export function isTooDeep(value: unknown, levels = MAX_DEPTH + 1): boolean {
  if (typeof value !== 'object' || value === null) return false
  if (levels === 0) return true
  for (const name in value) if (isTooDeep((value as Record<string, unknown>)[name], levels - 1)) return true
  return false
}

/** The number that `length` digits from `at` on make; NaN when one of them is none. */
function digits(text: string, at: number, length: number): number {
  let value = 0
  for (let place = at; place < at + length; place++) {
    const digit = text.charCodeAt(place) - ZERO
    if (!(digit >= 0 && digit <= 9)) return Number.NaN
    value = 10 * value + digit
  }
  return value
}

function daysIn(year: number, month: number): number {
  if (month === 2) return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0) ? 29 : 28
  return month === 4 || month === 6 || month === 9 || month === 11 ? 30 : 31
}

/**
 * RFC 3339, section 5.6. `24:00:00` is none; the second 60 is one where a leap second can be: in the last minute of a month
 * in UTC (section 5.7; ITU-R TF.460 prefers June and December). By hand: `Date.parse` takes ten times as long, takes
 * 31 February for 3 March, and knows no leap seconds.
 */
function isTime(text: string): boolean {
  const year = digits(text, 0, 4)
  const month = digits(text, 5, 2)
  const day = digits(text, 8, 2)
  const hour = digits(text, 11, 2)
  const minute = digits(text, 14, 2)
  const second = digits(text, 17, 2)
  if (
    !(year >= 0 && month >= 1 && month <= 12 && day >= 1 && day <= daysIn(year, month)) ||
    !(hour <= 23 && minute <= 59 && second <= 60) ||
    text.charCodeAt(4) !== DASH ||
    text.charCodeAt(7) !== DASH ||
    (text.charCodeAt(10) | LOWER) !== (UPPER_T | LOWER) ||
    text.charCodeAt(13) !== COLON ||
    text.charCodeAt(16) !== COLON
  ) {
    return false
  }
  const zone = text.charCodeAt(19) === DOT ? behindDigits(text, 20) : 19
  if (zone === 20) return false // a point without digits
  const offsetMinutes = zoneOffset(text, zone)
  if (Number.isNaN(offsetMinutes)) return false
  return second < 60 || isEndOfMonth(year, month, day, 60 * hour + minute - offsetMinutes)
}

function behindDigits(text: string, from: number): number {
  let at = from
  while (digits(text, at, 1) >= 0) at += 1
  return at
}

/** Minutes that local time is ahead of UTC, of a zone that goes to the end of the text; NaN when it is none. */
function zoneOffset(text: string, at: number): number {
  const sign = text.charCodeAt(at)
  if ((sign | LOWER) === (UPPER_Z | LOWER)) return text.length === at + 1 ? 0 : Number.NaN
  const hours = digits(text, at + 1, 2)
  const minutes = digits(text, at + 4, 2)
  const isZone = text.length === at + 6 && text.charCodeAt(at + 3) === COLON && hours <= 23 && minutes <= 59
  if (!isZone || (sign !== PLUS && sign !== DASH)) return Number.NaN
  return sign === PLUS ? 60 * hours + minutes : -(60 * hours + minutes)
}

/** @param utcMinutes of the day, below 0 or beyond its end where UTC has another date. */
function isEndOfMonth(year: number, month: number, day: number, utcMinutes: number): boolean {
  if (utcMinutes === MINUTES_A_DAY - 1) return day === daysIn(year, month)
  if (utcMinutes === -1) return day === 1 // the day before in UTC
  return utcMinutes === 2 * MINUTES_A_DAY - 1 && day === daysIn(year, month) - 1 // the day after
}

/** A host in brackets is an IPv6 address, perhaps with a zone (RFC 6874), or of a later version. */
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

/** Most text is ASCII, which a loop tells five times faster than the expression. */
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

function describe(value: unknown): string {
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'an array'
  if (typeof value === 'object') return 'an object'
  return typeof value === 'string' ? quote(value) : String(value)
}

function quote(text: string): string {
  return JSON.stringify(text.length > 40 ? `${text.slice(0, 40)}…` : text)
}

/** What the log knows about a stored event. */
export interface Origin {
  readonly logId: string
  readonly offset: number
  /** RFC 3339: when the group was appended. */
  readonly appendedAt: string
}

/** Fills in what a short event left out; a complete CloudEvent comes back as it is. Same input, same event. */
export function complete(received: ReceivedEvent, origin: Origin): Event {
  for (const name in received) {
    if (received[name] === null && name !== 'data') return complete(withoutNulls(received), origin)
  }
  if (received.specversion !== undefined) return received as Event
  const { id, source = DEFAULT_SOURCE, type = DEFAULT_TYPE, time = origin.appendedAt } = received
  return {
    specversion: '1.0',
    ...received,
    id: id === undefined ? `${origin.logId}-${origin.offset}` : String(id),
    source,
    type,
    time,
  } as Event
}

function withoutNulls(received: ReceivedEvent): ReceivedEvent {
  return Object.fromEntries(Object.entries(received).filter(([name, value]) => value !== null || name === 'data'))
}

/** Events with the same key are delivered in the order they were accepted; that of a short event before it is completed. */
export function keyOfReceived({ subject, source }: ReceivedEvent): string {
  if (typeof subject === 'string') return subject
  return typeof source === 'string' ? source : DEFAULT_SOURCE
}

/** What makes it the same event as another (CloudEvents 1.0, section 3.1): source and id; undefined without an id. */
export function identityOfReceived({ source, id }: ReceivedEvent): string | undefined {
  return id == null ? undefined : `${source ?? DEFAULT_SOURCE}\0${id}` // neither can hold \0
}

/** The key of a complete event. */
export function keyOf(event: Event): string {
  return event.subject ?? event.source
}
