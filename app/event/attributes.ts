/** Reads attributes of a scanned event from its bytes. Places are relative to position `base` in the bytes. */
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
 * The outermost members of an object: name → JSON text. If a name occurs twice, the later member counts, as in
 * JSON.parse.
 * @param marks marks that the object must not have, see {@link Mark}.
 * @returns undefined if the text is not an object.
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

/** The place of the member with this number, which must exist. If it occurs twice: the last one, as in JSON.parse. */
export function memberOf(places: Places, head: number, name: number): number {
  const first = firstMember(head)
  let member = first + (membersOf(places, head) - 1) * MEMBER_STEP
  while (member > first && nameOf(places, member) !== name) member -= MEMBER_STEP
  return member
}

/** The value as text: the content of a string; the digits of a whole number; undefined for null. */
export function valueText(bytes: Buffer, base: number, places: Places, member: number): string | undefined {
  const at = base + valueAt(places, member)
  const end = base + valueEnd(places, member)
  if (bytes[at] === LOWER_N) return undefined
  const raw = bytes.toString('utf8', at, end)
  if (bytes[at] === QUOTE) return raw.includes('\\') ? JSON.parse(raw) : raw.slice(1, -1)
  return numberText(raw)
}

/**
 * The key of a received event. Events with the same key are delivered in the order in which they were accepted. A short
 * event, which is not completed yet, has the same key.
 */
export function keyOfReceived(bytes: Buffer, base: number, places: Places, head: number): string {
  const marks = marksOf(places, head)
  const subject = (marks & SUBJECT) === 0 ? undefined : attribute(bytes, base, places, head, NUMBER.subject)
  return subject ?? sourceOfReceived(bytes, base, places, head)
}

/** The identity of an event (CloudEvents 1.0, section 3.1): source and id; undefined without an id. */
export function identityOfReceived(bytes: Buffer, base: number, places: Places, head: number): string | undefined {
  if ((marksOf(places, head) & IDENTITY) === 0) return undefined
  const id = attribute(bytes, base, places, head, NUMBER.id)
  return id === undefined ? undefined : `${sourceOfReceived(bytes, base, places, head)}\0${id}` // neither can hold \0
}

/** The source of a received event; for a short event, the default. */
export function sourceOfReceived(bytes: Buffer, base: number, places: Places, head: number): string {
  const has = (marksOf(places, head) & SOURCE) !== 0
  return (has ? attribute(bytes, base, places, head, NUMBER.source) : undefined) ?? DEFAULT_SOURCE
}

/** The type of a received event; for a short event, the default. */
export function typeOfReceived(bytes: Buffer, base: number, places: Places, head: number): string {
  const has = (marksOf(places, head) & TYPE) !== 0
  return (has ? attribute(bytes, base, places, head, NUMBER.type) : undefined) ?? DEFAULT_TYPE
}

function attribute(bytes: Buffer, base: number, places: Places, head: number, name: number): string | undefined {
  return valueText(bytes, base, places, memberOf(places, head, name))
}
