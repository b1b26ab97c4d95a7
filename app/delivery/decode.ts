/** Group → complete events: bytes that stay what they are, with what short events left out filled in. */
import { complete } from '../event/complete.ts'
import { Block, type Lines } from '../event/item.ts'
import { scanner } from '../event/names.ts'
import { endOf, nextHead } from '../json/scanner.ts'
import type { Group } from '../log/log.ts'
import { Known } from '../write.ts'

const NEWLINE = 0x0a
const LINE_END = Buffer.from('\n')
/** Of a block, about: large enough to be worth it, small enough to be given back soon. */
const BLOCK_BYTES = 64 * 1024

/**
 * @returns exactly `group.count` events in blocks, in order of offset; undefined for one that is not an event. Millrace
 *   never writes
 *   such a thing, but others may write to a Kafka topic, and one bad record must not stop what is behind it.
 * @throws Error when the group holds another number of lines than it says: that is a bug of the log.
 */
export function decode(group: Group): (Block | undefined)[] {
  if (group.count === 0) return []
  const blocks = group.known ? knownBlocks(group, group.known) : lookedAt(group)
  const count = blocks.reduce((sum, block) => sum + (block?.count ?? 1), 0)
  if (count === group.count) return blocks
  throw new Error(`group at offset ${group.baseOffset} holds ${count} events, not ${group.count}`)
}

/** What is known to be events is not looked at before somebody asks for one. */
function knownBlocks({ payload, known, count, ...place }: Group, how: Known): Block[] {
  const blocks: Block[] = []
  let baseOffset = place.baseOffset
  for (let from = 0; from < payload.length; ) {
    const last = from + BLOCK_BYTES >= payload.length ? -1 : payload.lastIndexOf(NEWLINE, from + BLOCK_BYTES)
    const to = last >= from ? last + 1 : payload.indexOf(NEWLINE, from + BLOCK_BYTES) + 1 || payload.length
    const part = Buffer.from(payload.subarray(from, to)) // the log reads on into its own
    const origin = { ...place, baseOffset }
    const inPart = from === 0 && to === payload.length ? count : scanner.countLines(part)
    const make = how === Known.COMPLETE ? () => linesIn(part, inPart) : () => completed({ ...origin, payload: part })
    blocks.push(new Block(origin, inPart, part.length, make))
    baseOffset += inPart
    from = to
  }
  return blocks
}

/** Blocks as they are completed: with what is no event on its own. */
function lookedAt(group: Group): (Block | undefined)[] {
  const { payload, count: _, ...place } = group
  const blocks: (Block | undefined)[] = []
  let { baseOffset } = group
  const push = (made: Lines) => {
    blocks.push(new Block({ ...place, baseOffset }, made.ends.length, made.lines.length, () => made))
    baseOffset += made.ends.length
  }
  completeInto({ ...place, payload }, push, () => {
    blocks.push(undefined)
    baseOffset += 1
  })
  return blocks
}

type Place = Pick<Group, 'logId' | 'baseOffset' | 'appendedAtMs' | 'payload'>

function completed(place: Place): Lines {
  const parts: Lines[] = []
  const onNone = () => {
    throw new Error(`what the log knows to be events is none, from offset ${place.baseOffset} on: that is a bug`)
  }
  completeInto(place, (part) => void parts.push(part), onNone)
  if (parts.length === 1) return parts[0] as Lines
  const ends: number[] = []
  let bytes = 0
  for (const part of parts) {
    for (let index = 0; index < part.ends.length; index++) ends.push(bytes + (part.ends[index] as number))
    bytes += part.lines.length
  }
  return { lines: Buffer.concat(parts.map(({ lines }) => lines)), ends }
}

function completeInto(place: Place, onLines: (made: Lines) => void, onNone: () => void): void {
  const { payload, logId, baseOffset, appendedAtMs } = place
  const origin = { idPrefix: logId, number: baseOffset, time: new Date(appendedAtMs).toISOString() }
  complete(payload, origin, {
    lines: (lines, { places, head: first, texts }) => {
      const ends: number[] = new Array(texts)
      for (let text = 0, head = first; text < texts; text++) {
        ends[text] = endOf(places, head) + 1
        head = nextHead(places, head)
      }
      onLines({ lines: Buffer.from(lines), ends })
    },
    odd: (line) => {
      if (line === undefined) onNone()
      else onLines({ lines: Buffer.concat([line, LINE_END]), ends: [line.length + 1] })
    },
  })
}

function linesIn(lines: Buffer, count: number): Lines {
  const ends: number[] = new Array(count)
  for (let index = 0, from = 0; index < count; index++) {
    from = lines.indexOf(NEWLINE, from) + 1
    ends[index] = from
  }
  return { lines, ends }
}
