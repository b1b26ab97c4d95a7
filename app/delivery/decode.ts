/** Group → events: one JSON.parse for all of them, then each is completed with what the log knows. */
import { complete, type Event, type ReceivedEvent } from '../event.ts'
import type { Group } from '../log/log.ts'

const NEWLINE = 0x0a

/**
 * @returns exactly `group.count` events, in order of offset.
 * @throws Error when the payload is not what a writer of this log puts there: the checksum was right, so it is a bug.
 */
export function decode(group: Group, logId: string): Event[] {
  const { payload, count, baseOffset } = group
  const end = payload[payload.length - 1] === NEWLINE ? payload.length - 1 : payload.length
  const text = payload.toString('utf8', 0, end)
  const received: ReceivedEvent[] = JSON.parse(`[${text.replaceAll('\n', ',')}]`)
  if (received.length !== count) {
    throw new Error(`group at offset ${baseOffset} holds ${received.length} events, its header says ${count}`)
  }
  const appendedAt = new Date(group.appendedAtMs).toISOString()
  return received.map((event, index) => complete(event, { logId, offset: baseOffset + index, appendedAt }))
}
