/** Members that the service itself puts into events. */
import { scanner } from './names.ts'

const LINE_END = Buffer.from('\n')

/**
 * Puts members in front of each event's own; an event that has one of that name keeps its own.
 * @param payload JSON objects, one a line.
 * @param members by the number of the name, each with its comma: `"traceparent":"…",`. At most 1,536 bytes in all.
 */
export function withMembers(payload: Buffer, members: ReadonlyMap<number, string>): Buffer {
  const filled: Buffer[] = []
  // A line that is no plain object goes on as it is: no event that was accepted is one.
  const onOdd = (line: Uint8Array) => void filled.push(Buffer.from(line), LINE_END)
  scanner.fill(payload, { members }, 0, (lines) => void filled.push(Buffer.from(lines)), onOdd)
  return Buffer.concat(filled).subarray(0, -1)
}
