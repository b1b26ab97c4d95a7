/** Group → events: one JSON.parse for all of them, then each is completed with what the log knows. */
import { complete, type Event, isTooDeep, mayBeDeep, type ReceivedEvent } from '../event.ts'
import type { Group } from '../log/log.ts'

const NEWLINE = 0x0a

/**
 * @returns exactly `group.count` events, in order of offset; undefined for what is not an event. Millrace never writes
 *   such a thing, but others may write to a Kafka topic, and one bad record must not stop what is behind it.
 * @throws Error when the group holds another number of lines than it says: that is a bug of the log.
 */
export function decode(group: Group): (Event | undefined)[] {
  const { payload, logId, baseOffset } = group
  if (group.count === 0) return []
  const end = payload[payload.length - 1] === NEWLINE ? payload.length - 1 : payload.length
  const text = payload.toString('utf8', 0, end)
  const appendedAt = new Date(group.appendedAtMs).toISOString()
  const mightBeDeep = mayBeDeep(payload)
  return parse(text, group).map((event, index) =>
    typeof event === 'object' && event !== null && !Array.isArray(event) && !(mightBeDeep && isTooDeep(event))
      ? complete(event as ReceivedEvent, { logId, offset: baseOffset + index, appendedAt })
      : undefined,
  )
}

function parse(text: string, { count, baseOffset }: Group): unknown[] {
  try {
    const values: unknown[] = JSON.parse(`[${text.replaceAll('\n', ',')}]`)
    if (values.length === count) return values
  } catch {}
  const lines = text.split('\n')
  if (lines.length !== count)
    throw new Error(`group at offset ${baseOffset} holds ${lines.length} events, not ${count}`)
  return lines.map((line) => {
    try {
      return JSON.parse(line)
    } catch {
      return undefined
    }
  })
}
