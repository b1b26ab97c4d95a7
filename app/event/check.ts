/**
 * Checks whether a scanned text is an event, by its bytes. Most texts are plain events: then nothing is decoded.
 *
 *     places ─▶ plain? ─yes─▶ an event
 *                 └─no──▶ attributes decoded with JSON.parse ─▶ validate(), which decides and gives the reason
 *
 * `data` is never decoded: we only pass it on.
 */
import { describe, isWholeNumber, MAX_ATTRIBUTE_LENGTH, type Strictness, TOO_DEEP, validate } from '../event.ts'
import {
  endOf,
  firstMember,
  isOddName,
  isPlainText,
  MAX_MEMBERS,
  Mark,
  MEMBER_STEP,
  marksOf,
  membersOf,
  NO_OBJECT,
  nameAt,
  nameLengthOf,
  nameOf,
  nextHead,
  OTHER_NAME,
  type Places,
  startOf,
  valueAt,
  valueEnd,
} from '../json/scanner.ts'
import { nameText } from './attributes.ts'
import { bitOf, NUMBER } from './names.ts'
import { isTime } from './time.ts'

const DOT = 0x2e
const ZERO = 0x30
const ONE = 0x31
const NINE = 0x39
const LOWER_A = 0x61
const LOWER_Z = 0x7a
const LOWER_F = 0x66
const LOWER_T = 0x74
/** A number with at most this many digits always fits the type Integer of CloudEvents. */
const MAX_INTEGER_DIGITS = 9
const MAX_NAME_LENGTH = 64
/** Most extensions that are compared pair by pair. An event with more takes the slow path. */
const MAX_PLAIN_EXTENSIONS = 8

const ODD_MARKS = Mark.TOO_DEEP | Mark.TOO_MANY | Mark.HAS_NULL | Mark.NAME_TWICE
const COMPLETE = bitOf('specversion', 'id', 'source', 'type')
const SPECVERSION = bitOf('specversion')
const DATA = bitOf('data')
const DATA_BASE64 = bitOf('data_base64')

/** The last valid source: sources repeat. */
let goodSource = Buffer.from('/')

/**
 * Why the text is not an event, for its sender; undefined when it is one.
 * @param bytes the scanned bytes; places are relative to position `base` in them.
 */
export function faultOfText(
  bytes: Buffer,
  base: number,
  places: Places,
  head: number,
  strictness: Strictness,
): string | undefined {
  if (isPlainEvent(bytes, base, places, head, strictness)) return undefined
  return faultOfOdd(bytes.subarray(base + startOf(places, head), base + endOf(places, head)), places, head, strictness)
}

/** Whether the event has all required attributes. A short event is completed when it is read from the log. */
export function isComplete(places: Places, head: number): boolean {
  return (marksOf(places, head) & SPECVERSION) !== 0
}

/** A fast check that accepts only events, but not all of them. */
function isPlainEvent(bytes: Buffer, base: number, places: Places, head: number, strictness: Strictness): boolean {
  const marks = marksOf(places, head)
  const members = membersOf(places, head)
  if (members < 0 || (marks & ODD_MARKS) !== 0) return false
  const isWhole = (marks & SPECVERSION) !== 0
  if (isWhole ? (marks & COMPLETE) !== COMPLETE : strictness === 'strict') return false
  const payload = marks & (DATA | DATA_BASE64)
  if (payload === (DATA | DATA_BASE64) || (payload === 0 && !isWhole)) return false
  const end = firstMember(head) + members * MEMBER_STEP
  for (let member = firstMember(head); member < end; member += MEMBER_STEP) {
    const name = nameOf(places, member)
    if (name === NUMBER.data) continue
    if (name === OTHER_NAME && !isPlainName(bytes, base, places, member)) return false
    const at = base + valueAt(places, member)
    const behind = base + valueEnd(places, member)
    if (isPlainText(places, member)) {
      if (!isPlainAttribute(name, bytes, at + 1, behind - 1)) return false
    } else if (
      name === NUMBER.id ? isWhole || !isPlainNumber(bytes, at, behind) : !isPlainScalar(name, bytes, at, behind)
    ) {
      return false
    }
  }
  return (marks & Mark.HAS_OTHERS) === 0 || areDistinct(bytes, base, places, head)
}

/** @param at position after the opening quote. @param end end of the text. */
function isPlainAttribute(name: number, bytes: Buffer, at: number, end: number): boolean {
  const length = end - at
  if (length > MAX_ATTRIBUTE_LENGTH) return false
  switch (name) {
    case NUMBER.id:
    case NUMBER.type:
    case NUMBER.subject:
    case NUMBER.datacontenttype:
      return length > 0
    case NUMBER.source:
      return isGoodSource(bytes, at, end)
    case NUMBER.time:
      return isTime(bytes, at, end)
    case NUMBER.specversion:
      return length === 3 && bytes[at] === ONE && bytes[at + 1] === DOT && bytes[at + 2] === ZERO
    case NUMBER.dataschema:
    case NUMBER.data_base64:
      return false
    default:
      return true // an extension may be any string
  }
}

function isGoodSource(bytes: Buffer, at: number, end: number): boolean {
  const { length } = goodSource
  let same = end - at === length ? 0 : length
  while (same < length && bytes[at + same] === goodSource[same]) same += 1
  if (same === length && end - at === length) return true
  const source = bytes.toString('latin1', at, end)
  if (source === '' || validate({ source, data: '' }) !== undefined) return false
  goodSource = Buffer.from(source)
  return true
}

/** Whether the value is true, false, or a number that certainly fits Integer. */
function isPlainScalar(name: number, bytes: Buffer, at: number, end: number): boolean {
  if (name !== OTHER_NAME) return false
  if (bytes[at] === LOWER_T || bytes[at] === LOWER_F) return true
  return end - at <= MAX_INTEGER_DIGITS && isPlainNumber(bytes, at, end)
}

/** A whole number in its usual form: not `1.0`, not `-0`. */
function isPlainNumber(bytes: Buffer, at: number, end: number): boolean {
  if (end - at > MAX_ATTRIBUTE_LENGTH) return false
  for (let i = at; i < end; i++) {
    const byte = bytes[i] as number
    if (byte < ZERO || byte > NINE) return false
  }
  return true
}

function isPlainName(bytes: Buffer, base: number, places: Places, member: number): boolean {
  const length = nameLengthOf(places, member)
  if (length < 1 || length > MAX_NAME_LENGTH || isOddName(places, member)) return false
  const at = base + nameAt(places, member)
  for (let i = at; i < at + length; i++) {
    const byte = bytes[i] as number
    if ((byte < LOWER_A || byte > LOWER_Z) && (byte < ZERO || byte > NINE)) return false
  }
  return true
}

/** Whether all extensions have different names; false also if there are too many to compare. */
function areDistinct(bytes: Buffer, base: number, places: Places, head: number): boolean {
  const others: number[] = []
  for (let member = firstMember(head); member < nextHead(places, head); member += MEMBER_STEP) {
    if (nameOf(places, member) !== OTHER_NAME) continue
    if (others.length === MAX_PLAIN_EXTENSIONS) return false
    const at = base + nameAt(places, member)
    const length = nameLengthOf(places, member)
    for (const other of others) {
      if (nameLengthOf(places, other) !== length) continue
      const otherAt = base + nameAt(places, other)
      if (bytes.compare(bytes, at, at + length, otherAt, otherAt + length) === 0) return false
    }
    others.push(member)
  }
  return true
}

/** @param text the bytes of this text alone. */
function faultOfOdd(text: Buffer, places: Places, head: number, strictness: Strictness): string | undefined {
  if (membersOf(places, head) === NO_OBJECT) return validate(JSON.parse(text.toString()), strictness)
  const marks = marksOf(places, head)
  if ((marks & Mark.TOO_MANY) !== 0) {
    return `an event has at most ${MAX_MEMBERS} attributes: put what is more into data`
  }
  const attributes = new Map<string, unknown>()
  const first = firstMember(head)
  const start = startOf(places, head)
  let escaped: string | undefined
  for (let member = first; member < first + membersOf(places, head) * MEMBER_STEP; member += MEMBER_STEP) {
    const valueText = () => text.toString('utf8', valueAt(places, member) - start, valueEnd(places, member) - start)
    const name = nameText(text, -start, places, member)
    // Readers disagree on which of two members counts (RFC 7493, section 2.3). Names within data are not checked.
    if (attributes.has(name)) return `${describe(name)} is there twice: send it once`
    if (isOddName(places, member) && Object.hasOwn(NUMBER, name)) escaped = name
    // The digits of a number are kept as text, so a number of any length is valid here.
    const isNumbered = name === 'id' && isWholeNumber(valueText())
    attributes.set(name, name === 'data' ? '' : isNumbered ? 0 : JSON.parse(valueText()))
  }
  const fault = validate(Object.fromEntries(attributes), strictness)
  if (fault !== undefined) return fault
  if ((marks & Mark.TOO_DEEP) !== 0) return TOO_DEEP
  // Attributes are found by their bytes. An escaped name would count as absent, and its attribute would be filled in.
  return escaped && `the name ${describe(escaped)} is written with escapes: write its letters`
}
