import type { Batch, Consumer, Group } from '../../app/log/log.ts'

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

/** Everything the consumer can read until it has been idle for a moment. */
export async function readAll(consumer: Consumer, idleMs = 50): Promise<unknown[]> {
  const ids: unknown[] = []
  for (;;) {
    const group = await consumer.read(AbortSignal.timeout(idleMs))
    if (group === undefined) return ids
    ids.push(...idsOf(group))
  }
}
