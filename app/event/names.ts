/** The attributes of an event that the scanner knows by number, and the scanner of this thread. */
import { MAX_DEPTH } from '../event.ts'
import { Scanner } from '../json/scanner.ts'

/** Names that most events have, and their numbers. */
export const NUMBER = {
  specversion: 0,
  id: 1,
  source: 2,
  type: 3,
  subject: 4,
  time: 5,
  datacontenttype: 6,
  dataschema: 7,
  data: 8,
  data_base64: 9,
  // Extensions, last: the service itself may put them into events.
  traceparent: 10,
  authtype: 11,
  authid: 12,
  authclaims: 13,
} as const
type Name = keyof typeof NUMBER

/** The bit of a name in the marks of a text. */
export function bitOf(...names: readonly Name[]): number {
  return names.reduce((bits, name) => bits | (1 << NUMBER[name]), 0)
}

/** Everything that looks at events uses it in turn: what it gave is read before anything else is called. */
const OPTIONS = { names: Object.keys(NUMBER), maxDepth: MAX_DEPTH, nullable: [NUMBER.data] }
export const scanner = new Scanner(OPTIONS)
/** For one text, while the other is at work. */
export const singleScanner = new Scanner(OPTIONS, 64 * 1024)
