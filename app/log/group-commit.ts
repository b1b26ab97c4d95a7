/**
 * Group commit: the writes that queued up while the last group became durable form the next group, and one sync commits
 * it. A single event does not wait. Under load, groups grow by themselves. If a sync takes long, a group waits a moment
 * for clients that were just answered (./pace.ts).
 *
 *     receiver ─recvMany─▶ group ─append─▶ log ─▶ every write of the group succeeds or fails together
 *
 * Only a log with several partitions can store a part of a group: each write then learns which of its events are lost.
 * With a deduplication window, duplicates are removed from the group. A log with several partitions has no window.
 */
import type { Receiver } from '../channel/channel.ts'
import { NOTHING_LOST, type Write } from '../write.ts'
import type { DeduplicationWindow } from './deduplication.ts'
import type { Log } from './log.ts'
import { Pace } from './pace.ts'

export interface GroupCommitOptions {
  /** Payload bytes in one group; a single larger write is a group of its own. */
  readonly maxGroupBytes: number
  /** How long a group waits for more writes before its sync. Default: 0, which derives the wait from measurements. */
  readonly lingerMs?: number
  /** Finds duplicates, which are not stored again. Default: every event is stored. */
  readonly window?: DeduplicationWindow | undefined
}

/**
 * Runs until the channel is closed and drained. If the log refuses a group, only the writes of that group fail.
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
