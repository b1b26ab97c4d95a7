/**
 * Group commit: everything that queued up while the last group was being made durable becomes the next group, and one
 * sync commits it. There is no timer: alone, an event waits for nothing; under load, groups grow by themselves.
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

export interface GroupCommitOptions {
  /** Payload bytes in one group; a single larger write is a group of its own. */
  readonly maxGroupBytes: number
  /** How long a group waits for more before it is synced. Default: 0, as the next one gathers while one is synced. */
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
  while ((await receiver.recvMany(group, Number.POSITIVE_INFINITY, { maxBytes: maxGroupBytes, lingerMs })) > 0) {
    let lost = NOTHING_LOST
    let failure: unknown
    try {
      const sifted = window?.sift(group)
      const batches = sifted?.batches ?? group
      if (batches.length > 0) lost = await log.append(batches)
      sifted?.keep()
    } catch (error) {
      failure = error
    }
    if (failure !== undefined) for (const write of group) write.fail(failure)
    else if (lost.length === 0) for (const write of group) write.settle(NOTHING_LOST)
    else {
      const byWrite = Map.groupBy(lost, ({ batch }) => batch)
      for (const [batch, write] of group.entries()) write.settle(byWrite.get(batch) ?? NOTHING_LOST)
    }
    group.length = 0
  }
}
