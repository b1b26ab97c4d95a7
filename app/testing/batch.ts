/** Makes batches of events, as delivery passes them to a sink. */
import { taskOf } from '../delivery/single.ts'
import { type Item, itemOf } from '../event/item.ts'
import { SinkBatch } from '../sinks/batch.ts'
import type { SinkContext } from '../sinks/sink.ts'

/**
 * A batch of these events, which may be complete or short, as from a producer.
 * @param firstOffset offset of the first event in the log; the others follow. A repeated event keeps its offset.
 *   Default: 0.
 * @throws TypeError for an event that the service would refuse; its message has the reason.
 */
export function batchOf(events: readonly object[], firstOffset = 0): SinkBatch {
  return SinkBatch.of(events.map((event, index) => asItem(event, firstOffset + index)))
}

/** @throws TypeError for an event that the service would refuse. */
function asItem(event: object, offset: number): Item {
  const task = taskOf(Buffer.from(JSON.stringify(event)), offset)
  if (typeof task === 'string') throw new TypeError(`the event with index ${offset} would be refused: ${task}`)
  const { logId, appendedAtMs } = task
  return itemOf(task.json, { logId, baseOffset: offset, appendedAtMs })
}

/** A context as from delivery, with short delays. It adds warnings and failures to the given arrays. */
export function contextOf(name: string, warnings: string[] = [], failures: Error[] = []): SinkContext {
  return {
    name,
    backoffMs: (attempt) => Math.min(100, 2 ** attempt),
    onWarning: (message) => warnings.push(message),
    onFailure: (error) => failures.push(error),
  }
}
