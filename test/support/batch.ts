import type { Consumer, Group, Position } from '../../app/log/log.ts'
import type { Batch } from '../../app/write.ts'

/** A batch of small events with these ids. */
export function batchOf(...ids: (number | string)[]): Batch {
  return {
    payload: Buffer.from(ids.map((id) => JSON.stringify({ id, data: `Event ${id}` })).join('\n')),
    count: ids.length,
  }
}

/** The ids in a group, in order. */
function idsOf(group: Group): unknown[] {
  return group.payload
    .toString()
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line).id)
}

/** Everything before `offset` is settled, in the one partition of an embedded log. */
export function settledUpTo(offset: number, deadLettered = 0): readonly Position[] {
  return [{ partition: 0, offset, deadLettered, damaged: 0 }]
}

/** Everything from where the consumer is up to the end of an embedded log. */
export async function readAll(consumer: Consumer, { endOffset }: { endOffset: number }): Promise<unknown[]> {
  const ids: unknown[] = []
  for (let next = consumer.committedOffset(0); next < endOffset; ) {
    const group = await consumer.read(AbortSignal.timeout(5000))
    if (group === undefined) throw new Error(`nothing to read at offset ${next}, the log ends at ${endOffset}`)
    ids.push(...idsOf(group))
    next = group.baseOffset + group.count
  }
  return ids
}
