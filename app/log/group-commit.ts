/**
 * Group commit: everything that queued up while the last group was being made durable becomes the next group, and one
 * sync commits it. Alone, an event waits for nothing; under load, groups grow by themselves; where a sync takes long, a
 * group waits for a moment for those that were just answered (./pace.ts).
 *
 *     receiver ─recvMany─▶ group ─append─▶ log ─▶ every write of the group succeeds or fails together
 *
 * Only a log of several partitions can keep a part of a group: each write then learns which of its events are lost.
 * With a window, what is in the log already is left out of the group; a log of several partitions has none.
 */
import type { Receiver } from '../channel/channel.ts'
import { NOTHING_LOST, type Write } from '../write.ts'
import type { DeduplicationWindow } from './deduplication.ts'
import type { Log } from './log.ts'
import { Pace } from './pace.ts'

export interface GroupCommitOptions {
  /** Payload bytes in one group; a single larger write is a group of its own. */
  readonly maxGroupBytes: number
  /** How long a group waits for more before it is synced. Default: 0, and what was measured says whether it waits. */
  readonly lingerMs?: number
  /** Events that are not stored again. Default: all are. */
  readonly window?: DeduplicationWindow | undefined
}

/**
 * Runs until the channel is closed and drained.
 * A group that the log refuses fails its own writes only; the next one is tried again.
 */
export async function groupCommit(
  receiver: Receiver<Write>,
  log: Log,
  { maxGroupBytes, lingerMs = 0, window }: GroupCommitOptions,
): Promise<void> {
  const group: Write[] = []
  const pace = new Pace(maxGroupBytes, lingerMs)
  while ((await receiver.recvMany(group, Number.POSITIVE_INFINITY, pace)) > 0) {
    let lost = NOTHING_LOST
    pace.begin()
    let failure: unknown
    try {
      const sifted = window?.sift(group)
      const batches = sifted?.batches ?? group
      if (batches.length > 0) lost = await log.append(batches)
      sifted?.keep()
    } catch (error) {
      failure = error
    }
    pace.end(group.length, receiver.length)
    if (failure !== undefined) for (const write of group) write.fail(failure)
    else if (lost.length === 0) for (const write of group) write.settle(NOTHING_LOST)
    else {
      const byWrite = Map.groupBy(lost, ({ batch }) => batch)
      for (const [batch, write] of group.entries()) write.settle(byWrite.get(batch) ?? NOTHING_LOST)
    }
    group.length = 0
  }
}
