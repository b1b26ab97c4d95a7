/** Attributes of a scanned event, read from its bytes. `base` is where in the bytes places are counted from. */
import { DEFAULT_SOURCE, DEFAULT_TYPE, numberText } from '../event.ts'
import {
  firstMember,
  isOddName,
  Mark,
  MEMBER_STEP,
  marksOf,
  membersOf,
  nameAt,
  nameLengthOf,
  nameOf,
  nextHead,
  type Places,
  valueAt,
  valueEnd,
} from '../json/scanner.ts'
import { bitOf, NUMBER, singleScanner } from './names.ts'

const QUOTE = 0x22
const BACKSLASH = 0x5c
const LOWER_N = 0x6e
const IDENTITY = bitOf('id')
const SUBJECT = bitOf('subject')
const SOURCE = bitOf('source')
const TYPE = bitOf('type')

/** The name of a member. */
export function nameText(bytes: Buffer, base: number, places: Places, member: number): string {
  const at = base + nameAt(places, member)
  if (!isOddName(places, member)) return bytes.toString('latin1', at, at + nameLengthOf(places, member))
  let end = at
  while (bytes[end] !== QUOTE) end += bytes[end] === BACKSLASH ? 2 : 1
  return JSON.parse(bytes.toString('utf8', at - 1, end + 1))
}

/**
 * Names and JSON texts of what an object has outermost. Of two members with the same name the later one counts, as
 * JSON.parse has it.
 * @param marks what it may not have, of {@link Mark}.
 * @returns undefined for what is no object.
 */
export function rawMembers(text: Buffer, marks = 0): Map<string, Buffer> | undefined {
  let found: Map<string, Buffer> | undefined
  const { isSound } = singleScanner.scan(text, 'one', ({ places, head }) => {
    if (membersOf(places, head) < 0 || (marksOf(places, head) & (marks | Mark.TOO_MANY)) !== 0) return
    found = new Map()
    for (let member = firstMember(head); member < nextHead(places, head); member += MEMBER_STEP) {
      found.set(nameText(text, 0, places, member), text.subarray(valueAt(places, member), valueEnd(places, member)))
    }
  })
  return isSound ? found : undefined
}

/** Where a text has the member with this number, which it must have. Of two, the last: so does JSON.parse. */
export function memberOf(places: Places, head: number, name: number): number {
  const first = firstMember(head)
  let member = first + (membersOf(places, head) - 1) * MEMBER_STEP
  while (member > first && nameOf(places, member) !== name) member -= MEMBER_STEP
  return member
}

/** A value that is a text: what it says; null: undefined; a number: its digits, when it is a whole one. */
export function valueText(bytes: Buffer, base: number, places: Places, member: number): string | undefined {
  const at = base + valueAt(places, member)
  const end = base + valueEnd(places, member)
  if (bytes[at] === LOWER_N) return undefined
  const raw = bytes.toString('utf8', at, end)
  if (bytes[at] === QUOTE) return raw.includes('\\') ? JSON.parse(raw) : raw.slice(1, -1)
  return numberText(raw)
}

/**
 * Events with the same key are delivered in the order they were accepted; that of a short event before it is completed.
 */
export function keyOfReceived(bytes: Buffer, base: number, places: Places, head: number): string {
  const marks = marksOf(places, head)
  const subject = (marks & SUBJECT) === 0 ? undefined : attribute(bytes, base, places, head, NUMBER.subject)
  return subject ?? sourceOfReceived(bytes, base, places, head)
}

/** What makes it the same event as another (CloudEvents 1.0, section 3.1): source and id; undefined without an id. */
export function identityOfReceived(bytes: Buffer, base: number, places: Places, head: number): string | undefined {
  if ((marksOf(places, head) & IDENTITY) === 0) return undefined
  const id = attribute(bytes, base, places, head, NUMBER.id)
  return id === undefined ? undefined : `${sourceOfReceived(bytes, base, places, head)}\0${id}` // neither can hold \0
}

/** That of a short event before it is completed. */
export function sourceOfReceived(bytes: Buffer, base: number, places: Places, head: number): string {
  const has = (marksOf(places, head) & SOURCE) !== 0
  return (has ? attribute(bytes, base, places, head, NUMBER.source) : undefined) ?? DEFAULT_SOURCE
}

/** The same of its type. */
export function typeOfReceived(bytes: Buffer, base: number, places: Places, head: number): string {
  const has = (marksOf(places, head) & TYPE) !== 0
  return (has ? attribute(bytes, base, places, head, NUMBER.type) : undefined) ?? DEFAULT_TYPE
}

function attribute(bytes: Buffer, base: number, places: Places, head: number, name: number): string | undefined {
  return valueText(bytes, base, places, memberOf(places, head, name))
}
