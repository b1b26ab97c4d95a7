/**
 * Completes short events with values that the log stores: so the same input always gives the same event. Other bytes
 * stay unchanged.
 *
 *     lines as received ─▶ complete CloudEvents, one a line
 *                      └─▶ with nulls, duplicate names, unusual numbers as ids: attributes rewritten, `data` unchanged
 */
import { DEFAULT_SOURCE, DEFAULT_TYPE, numberText } from '../event.ts'
import { endOf, type Filling, Mark, nextHead, type Scanned, startOf } from '../json/scanner.ts'
import { rawMembers } from './attributes.ts'
import { NUMBER, scanner } from './names.ts'

const PLAIN_PROPERTY = { enumerable: true, configurable: true, writable: true }

/** The values to fill in. */
export interface Origin {
  /** Ids are `<idPrefix>-<number>`: the log and the offset, if that is known. */
  readonly idPrefix: string
  /** Number of the first event. */
  readonly number: number
  /** RFC 3339: when the group was appended. */
  readonly time: string
}

/** Gets lines in order, some at a time; they are valid until the call returns. */
export interface Completed {
  /** Complete lines, each ended by a newline. */
  lines(lines: Uint8Array, scanned: Scanned): void
  /** One line without its newline, or undefined if it is not an event; and the given line. */
  odd(line: Buffer | undefined, given: Buffer): void
}

/** @returns how many lines there were. */
export function complete(payload: Uint8Array, origin: Origin, to: Completed): number {
  const { idPrefix, number, time } = origin
  const onLines = (lines: Uint8Array, scanned: Scanned) => to.lines(lines, scanned)
  const onOdd = (line: Uint8Array, index: number) => {
    const copy = Buffer.from(line)
    to.odd(completeOdd(copy, { ...origin, number: number + index }), copy)
  }
  return scanner.fill(payload, fillingOf(idPrefix, time), number, onLines, onOdd)
}

/** As {@link complete}, but returns separate lines without newlines. A line that is not an event stays unchanged. */
export function completeLines(payload: Buffer, origin: Origin): Buffer[] {
  const found: Buffer[] = []
  complete(payload, origin, {
    lines: (lines, { places, head: first, texts }) => {
      const copy = Buffer.from(lines)
      for (let text = 0, head = first; text < texts; text++, head = nextHead(places, head)) {
        found.push(copy.subarray(startOf(places, head), endOf(places, head)))
      }
    },
    odd: (line, given) => void found.push(line ?? given),
  })
  return found
}

function fillingOf(idPrefix: string, time: string): Filling {
  return {
    members: new Map([
      [NUMBER.specversion, '"specversion":"1.0",'],
      [NUMBER.id, `"id":"${idPrefix}-`],
      [NUMBER.source, `"source":"${DEFAULT_SOURCE}",`],
      [NUMBER.type, `"type":"${DEFAULT_TYPE}",`],
      [NUMBER.time, `"time":"${time}",`],
    ]),
    whole: NUMBER.specversion,
    asText: NUMBER.id,
    odd: Mark.TOO_DEEP | Mark.HAS_NULL | Mark.NAME_TWICE,
    counted: NUMBER.id,
  }
}

/** Completes an unusual line, slowly. Undefined if it is not an event: other producers may write to a Kafka topic. */
function completeOdd(line: Buffer, { idPrefix, number, time }: Origin): Buffer | undefined {
  const members = rawMembers(line, Mark.TOO_DEEP)
  if (members === undefined) return undefined
  const data = members.get('data')
  members.delete('data')
  const given: Record<string, unknown> = {}
  for (const [name, raw] of members) {
    const value: unknown = JSON.parse(raw.toString())
    // Define an own property, whatever the name is.
    if (value !== null) Object.defineProperty(given, name, { value, ...PLAIN_PROPERTY })
  }
  if (given.specversion !== undefined) return writeEvent(given, data)
  if (typeof given.id === 'number') given.id = numberText(String(members.get('id')))
  const id = `${idPrefix}-${number}`
  return writeEvent({ specversion: '1.0', id, source: DEFAULT_SOURCE, type: DEFAULT_TYPE, time, ...given }, data)
}

/** One line, without a newline. */
export function writeEvent(attributes: Readonly<Record<string, unknown>>, data: Buffer | undefined): Buffer {
  const text = Buffer.from(JSON.stringify(attributes))
  if (data === undefined) return text
  const begins = text.length > 2 ? `,"data":` : `"data":`
  return Buffer.concat([text.subarray(0, -1), Buffer.from(begins), data, Buffer.from('}')])
}
