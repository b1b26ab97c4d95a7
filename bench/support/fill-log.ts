/** Fills a log as fast as the disk takes it, past HTTP: what a sink that was away leaves behind. */

import { EmbeddedLog } from '../../app/log/embedded/embedded-log.ts'
import { Known } from '../../app/write.ts'

export const NO_LIMIT_BYTES = 2 ** 40
const SEGMENT_BYTES = 64 * 2 ** 20
const GROUP_BATCHES = 100

export interface Filled {
  readonly events: number
  readonly bytes: number
}

/**
 * @param lines of one request, appended again and again.
 * @param until whether it is enough.
 */
export async function fillLog(
  directory: string,
  lines: readonly string[],
  until: (filled: Filled) => boolean,
): Promise<Filled> {
  const log = await openLogAt(directory)
  const group = new Array(GROUP_BATCHES).fill({
    payload: Buffer.from(lines.join('\n')),
    count: lines.length,
    known: Known.EVENTS,
  })
  try {
    let filled = { events: 0, bytes: 0 }
    while (!until(filled)) {
      await log.append(group)
      filled = { events: log.endOffset, bytes: log.sizeBytes }
    }
    return filled
  } finally {
    await log.close()
  }
}

/** As large as it gets, kept as long as it likes. */
export function openLogAt(directory: string): Promise<EmbeddedLog> {
  const keepForeverMs = Number.MAX_SAFE_INTEGER
  return EmbeddedLog.open({
    directory,
    segmentBytes: SEGMENT_BYTES,
    maxBytes: NO_LIMIT_BYTES,
    retentionMs: keepForeverMs,
  })
}
