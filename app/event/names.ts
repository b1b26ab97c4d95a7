/** The attribute names that the scanner knows by number, and the scanners of this thread. */
import { MAX_DEPTH } from '../event.ts'
import { Scanner } from '../json/scanner.ts'

/** Names of common attributes, and their numbers. */
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
  // Extensions come last. The service itself may add them to events.
  traceparent: 10,
  authtype: 11,
  authid: 12,
  authclaims: 13,
  clientaddress: 14,
  useragent: 15,
} as const
type Name = keyof typeof NUMBER

/** The bits of these names in the marks of a text. */
export function bitOf(...names: readonly Name[]): number {
  return names.reduce((bits, name) => bits | (1 << NUMBER[name]), 0)
}

/** Options of the shared scanners. A result is valid only until the next call, so read it before you call anything. */
const OPTIONS = { names: Object.keys(NUMBER), maxDepth: MAX_DEPTH, nullable: [NUMBER.data] }
export const scanner = new Scanner(OPTIONS)
/** A second scanner, for a single text while the first one is in use. */
export const singleScanner = new Scanner(OPTIONS, 64 * 1024)
