/** Events as tests write them, and as the service has them: bytes. */
import { decode } from '../../app/delivery/decode.ts'
import { faultOfText } from '../../app/event/check.ts'
import { type Item, itemOf } from '../../app/event/item.ts'
import { scanner } from '../../app/event/names.ts'
import type { Event, Strictness } from '../../app/event.ts'
import type { Wanted } from '../../app/http/checked-events.ts'
import { membersOf } from '../../app/json/scanner.ts'
import type { Group } from '../../app/log/log.ts'
import { SinkBatch } from '../../app/sinks/batch.ts'

/** What is read of a body, when nothing but events is wanted. */
export function atMost(maxEvents: number): Wanted {
  return { maxEvents, keys: false, identities: false }
}

/** Events as a sink is given them. */
export function batchOf(...events: readonly object[]): SinkBatch {
  return SinkBatch.of(events.map((event, offset) => itemIn({ event, offset })))
}

export function itemIn({
  event,
  ...origin
}: {
  event: object
  logId?: string
  offset?: number
  appendedAtMs?: number
}): Item {
  const { logId = 'log', offset = 0, appendedAtMs = 0 } = origin
  return itemOf(Buffer.from(JSON.stringify(event)), { logId, baseOffset: offset, appendedAtMs })
}

/** The events of a group, as handlers would be given them. */
export function decoded(group: Omit<Group, 'partition'>): (Event | undefined)[] {
  return decode({ partition: 0, ...group }).flatMap((block) => {
    if (block === undefined) return [undefined]
    const lines = block.lines.toString().trimEnd().split('\n')
    return lines.map((line): Event => JSON.parse(line))
  })
}

/** Why one JSON text is no event; 'malformed' when it is no JSON. */
export function faultOf(text: string | Buffer, strictness: Strictness = 'lenient'): string | undefined {
  const bytes = Buffer.from(text)
  let fault: string | undefined
  const { isSound } = scanner.scan(bytes, 'one', ({ places, head, base }) => {
    if (membersOf(places, head) === -1) throw new Error('a text that is sound is marked malformed')
    fault = faultOfText(bytes, base, places, head, strictness)
  })
  return isSound ? fault : 'malformed'
}
