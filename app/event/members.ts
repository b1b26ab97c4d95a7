/** Adds members that the service itself puts into events. */
import { scanner } from './names.ts'

const LINE_END = Buffer.from('\n')

/**
 * Adds members at the start of each event. An event that already has a member of that name keeps its own.
 * @param payload JSON objects, one a line.
 * @param members number of the name → member with its comma: `"traceparent":"…",`. At most 1,536 bytes together.
 */
export function withMembers(payload: Buffer, members: ReadonlyMap<number, string>): Buffer {
  const filled: Buffer[] = []
  // A line that is not a plain object stays unchanged. An accepted event is always an object.
  const onOdd = (line: Uint8Array) => void filled.push(Buffer.from(line), LINE_END)
  scanner.fill(payload, { members }, 0, (lines) => void filled.push(Buffer.from(lines)), onOdd)
  return Buffer.concat(filled).subarray(0, -1)
}
