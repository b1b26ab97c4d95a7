/** Puts events into requests: as many as fit, by number and by bytes. */
import type { Part } from './lines.ts'

/** An event to send. */
export interface Sent {
  /** Line in the input; for generated events, their number. */
  readonly line: number
  /** One line of JSON. */
  readonly bytes: Buffer
}

/** Limits of the next request. `bytes` shrinks when the service refuses a body of that size. */
export interface Limits {
  readonly events: number
  bytes: number
}

/**
 * @param refused called for events that are not sent at all.
 * @returns groups of events, never empty. An event larger than the limit gets its own group.
 */
export async function* requests(
  parts: AsyncIterable<Part>,
  limits: Limits,
  refused: (line: number, problem: string) => void,
): AsyncGenerator<readonly Sent[]> {
  let group: Sent[] = []
  let length = 0
  for await (const { line, bytes, problem = '' } of parts) {
    if (bytes === undefined) {
      refused(line, problem)
      continue
    }
    if (group.length > 0 && (group.length >= limits.events || length + bytes.length + 1 > limits.bytes)) {
      yield group
      group = []
      length = 0
    }
    group.push({ line, bytes })
    length += bytes.length + 1
  }
  if (group.length > 0) yield group
}

/** Generates events. @param count how many; their `id` is 1, 2, … */
export async function* generated(count: number): AsyncGenerator<Part> {
  for (let id = 1; id <= count; id++) {
    yield { line: id, column: 1, bytes: Buffer.from(`{"id":${id},"data":"Event ${id}"}`) }
  }
}

const NEWLINE = Buffer.from('\n')

/** NDJSON. */
export function bodyOf(group: readonly Sent[]): Buffer {
  return Buffer.concat(group.flatMap(({ bytes }) => [bytes, NEWLINE]))
}
