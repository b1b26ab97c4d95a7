import type { Batch, Consumer, Group, Log } from '../../app/log/log.ts'

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

/** Everything from where the consumer is up to the end of the log. */
export async function readAll(consumer: Consumer, { endOffset }: Log): Promise<unknown[]> {
  const ids: unknown[] = []
  for (let next = consumer.progress.offset; next < endOffset; ) {
    const group = await consumer.read(AbortSignal.timeout(5000))
    if (group === undefined) throw new Error(`nothing to read at offset ${next}, the log ends at ${endOffset}`)
    ids.push(...idsOf(group))
    next = group.baseOffset + group.count
  }
  return ids
}
