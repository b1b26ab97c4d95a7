/** Reads and divides bodies: events as JSON, one a line, each ended by a newline. */
import type { Event } from '../event/cloud-event.ts'
import type { Body } from './store.ts'

const NEWLINE = 0x0a
const decoder = new TextDecoder()

/** The lines at these places, in that order. */
export function pick(body: Body, indexes: readonly number[]): Body {
  const ends = lineEnds(body)
  const lines = indexes.map((index) => body.subarray(index === 0 ? 0 : ends[index - 1], ends[index]))
  const picked = new Uint8Array(lines.reduce((bytes, line) => bytes + line.length, 0))
  let at = 0
  for (const line of lines) {
    picked.set(line, at)
    at += line.length
  }
  return picked
}

/** Two parts with half of the lines each. If their number is odd, the first part has one more. */
export function halves(body: Body): readonly [first: Body, second: Body] {
  const ends = lineEnds(body)
  const middle = ends[Math.ceil(ends.length / 2) - 1] ?? body.length
  return [body.slice(0, middle), body.slice(middle)]
}

export function countLines(body: Uint8Array): number {
  let lines = 0
  for (let at = body.indexOf(NEWLINE); at !== -1; at = body.indexOf(NEWLINE, at + 1)) lines += 1
  return lines
}

/** The events of a body. A damaged line becomes the `data` of an event without other attributes. */
export function eventsOf(body: Body): Partial<Event>[] {
  return decoder.decode(body).trimEnd().split('\n').map(parse)
}

function parse(line: string): Partial<Event> {
  try {
    return JSON.parse(line)
  } catch {
    return { data: line }
  }
}

/** Positions after each newline. */
function lineEnds(body: Body): number[] {
  const ends: number[] = []
  for (let at = body.indexOf(NEWLINE); at !== -1; at = body.indexOf(NEWLINE, at + 1)) ends.push(at + 1)
  return ends
}
