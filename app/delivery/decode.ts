/** Turns a group into complete events: keeps their bytes, and fills in the attributes that short events left out. */
import { complete } from '../event/complete.ts'
import { Block } from '../event/item.ts'
import { scanner } from '../event/names.ts'
import type { Group } from '../log/log.ts'
import { Known } from '../write.ts'

const NEWLINE = 0x0a
const LINE_END = Buffer.from('\n')
/** Approximate size of a block: large enough to be efficient, small enough to be freed soon. */
const BLOCK_BYTES = 64 * 1024

/**
 * @returns exactly `group.count` events in blocks, in order of offset; undefined for a record that is not an event.
 *   Millrace never writes such a record, but other producers may write to a Kafka topic. One invalid record must not
 *   stop the records after it.
 * @throws Error when the number of lines is not `group.count`: that is a bug of the log.
 */
export function decode(group: Group): (Block | undefined)[] {
  if (group.count === 0) return []
  const blocks = group.known ? knownBlocks(group, group.known) : lookedAt(group)
  const count = blocks.reduce((sum, block) => sum + (block?.count ?? 1), 0)
  if (count === group.count) return blocks
  throw new Error(`group at offset ${group.baseOffset} holds ${count} events, not ${group.count}`)
}

/** Blocks of lines that are known to be events: they are not parsed before a single event is needed. */
function knownBlocks({ payload, known, count, ...place }: Group, how: Known): Block[] {
  const blocks: Block[] = []
  let baseOffset = place.baseOffset
  for (let from = 0; from < payload.length; ) {
    const last = from + BLOCK_BYTES >= payload.length ? -1 : payload.lastIndexOf(NEWLINE, from + BLOCK_BYTES)
    const to = last >= from ? last + 1 : payload.indexOf(NEWLINE, from + BLOCK_BYTES) + 1 || payload.length
    const part = Buffer.from(payload.subarray(from, to)) // copy, because the log reuses its buffer
    const origin = { ...place, baseOffset }
    const inPart = from === 0 && to === payload.length ? count : scanner.countLines(part)
    const lines = how === Known.COMPLETE ? part : () => completed({ ...origin, payload: part })
    blocks.push(new Block(origin, inPart, part.length, lines))
    baseOffset += inPart
    from = to
  }
  return blocks
}

/** Blocks of lines that are parsed and completed here. A record that is not an event stands alone, as undefined. */
function lookedAt(group: Group): (Block | undefined)[] {
  const { payload, count: _, ...place } = group
  const blocks: (Block | undefined)[] = []
  let { baseOffset } = group
  const push = (lines: Buffer, count: number) => {
    blocks.push(new Block({ ...place, baseOffset }, count, lines.length, lines))
    baseOffset += count
  }
  completeInto({ ...place, payload }, push, () => {
    blocks.push(undefined)
    baseOffset += 1
  })
  return blocks
}

type Place = Pick<Group, 'logId' | 'baseOffset' | 'appendedAtMs' | 'payload'>

function completed(place: Place): Buffer {
  const parts: Buffer[] = []
  const onNone = () => {
    throw new Error(
      `a record that the log counts as events holds none, from offset ${place.baseOffset} on: that is a bug`,
    )
  }
  completeInto(place, (lines) => void parts.push(lines), onNone)
  return parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts)
}

function completeInto(place: Place, onLines: (lines: Buffer, count: number) => void, onNone: () => void): void {
  const { payload, logId, baseOffset, appendedAtMs } = place
  const origin = { idPrefix: logId, number: baseOffset, time: new Date(appendedAtMs).toISOString() }
  complete(payload, origin, {
    lines: (lines, { texts }) => onLines(Buffer.from(lines), texts),
    odd: (line) => {
      if (line === undefined) onNone()
      else onLines(Buffer.concat([line, LINE_END]), 1)
    },
  })
}
