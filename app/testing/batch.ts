/** Events as delivery hands them to a sink. */
import { taskOf } from '../delivery/single.ts'
import { type Item, itemOf } from '../event/item.ts'
import { SinkBatch } from '../sinks/batch.ts'
import type { SinkContext } from '../sinks/sink.ts'

/**
 * A batch of these events, complete or short as a producer may send them.
 * @param firstOffset of the first in the log; the others follow. Delivered again, an event has the same. Default: 0.
 * @throws TypeError for one that the service would refuse, with the reason.
 */
export function batchOf(events: readonly object[], firstOffset = 0): SinkBatch {
  return SinkBatch.of(events.map((event, index) => asItem(event, firstOffset + index)))
}

/** @throws TypeError for what the service would refuse. */
function asItem(event: object, offset: number): Item {
  const task = taskOf(Buffer.from(JSON.stringify(event)), offset)
  if (typeof task === 'string') throw new TypeError(`the event with index ${offset} would be refused: ${task}`)
  const { logId, appendedAtMs } = task
  return itemOf(task.json, { logId, baseOffset: offset, appendedAtMs })
}

/** What delivery would tell a sink, with short waits: warnings and failures are kept in the arrays that it is given. */
export function contextOf(name: string, warnings: string[] = [], failures: Error[] = []): SinkContext {
  return {
    name,
    backoffMs: (attempt) => Math.min(100, 2 ** attempt),
    onWarning: (message) => warnings.push(message),
    onFailure: (error) => failures.push(error),
  }
}
