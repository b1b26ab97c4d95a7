/**
 * Reads a log directory without its lock and without changing it. Used by `log inspect`, `log verify` and the lists of
 * dead letters, while a writer runs or after a crash. Groups come in order. A torn tail is reported as the last damage.
 */
import { join } from 'node:path'
import { systemCode } from '../../errors.ts'
import type { Damage, Group } from '../log.ts'
import { ConsumerStore } from './consumer-store.ts'
import { type Files, nodeFiles } from './files.ts'
import { segmentName } from './format.ts'
import { SpaceReserve } from './reserve.ts'
import { SegmentScanner } from './segment-scanner.ts'
import { listSegments, surveySegments } from './segments.ts'

export type Inspected =
  | { readonly kind: 'segment'; readonly name: string; readonly bytes: number }
  | {
      readonly kind: 'group'
      readonly group: Group
      readonly segment: string
      readonly position: number
    }
  /** `tail`: at the end of the last segment, where a write was torn. */
  | { readonly kind: 'damage'; readonly damage: Damage; readonly tail?: boolean }

export interface InspectOptions {
  /** First offset to read; segments that end before it are skipped. Default: 0. */
  readonly fromOffset?: number
  readonly onWarning?: (message: string) => void
  readonly files?: Files
}

/** @throws a system error when the directory cannot be read. */
export async function* inspectLog(directory: string, options: InspectOptions = {}): AsyncGenerator<Inspected> {
  const { fromOffset = 0, onWarning = () => undefined, files = nodeFiles } = options
  const [logId = ''] = (await surveySegments(files, directory)).logIds
  const segments = await listSegments(files, directory, logId, onWarning, { clear: false })
  let expected: number | undefined
  for (const [at, { baseOffset, bytes }] of segments.entries()) {
    const next = segments[at + 1]
    if (next !== undefined && next.baseOffset <= fromOffset) continue
    const segment = segmentName(baseOffset)
    yield { kind: 'segment', name: segment, bytes }
    const file = await files.open(join(directory, segment), 'read')
    try {
      const scanner = new SegmentScanner(file)
      for (;;) {
        const scanned = await scanner.next(bytes)
        if (scanned === undefined) break
        if (scanned.kind === 'damage') {
          const { position, reason, tail } = scanned
          const torn = tail && next === undefined
          const what = torn ? `${reason} (torn tail: the next start cuts it off)` : reason
          yield {
            kind: 'damage',
            damage: { segment, position, bytes: scanned.bytes, events: 0, reason: what },
            tail: torn,
          }
          continue
        }
        const { position, header, payload } = scanned
        const end = header.baseOffset + header.count
        if (expected !== undefined && header.baseOffset > expected) {
          const events = header.baseOffset - expected
          const damage = { segment, position, bytes: 0, events, reason: 'events are missing before this place' }
          yield { kind: 'damage', damage }
        }
        expected = Math.max(expected ?? 0, end)
        if (end > fromOffset)
          yield { kind: 'group', segment, position, group: { logId, partition: 0, ...header, payload } }
      }
    } finally {
      await file.close()
    }
  }
}

/**
 * The oldest `limit` records that `consumer` has not settled yet, one a line; empty when the log does not exist.
 * @param onTrouble called with a message when something cannot be read, or when progress is unknown and so all records
 *   count as pending. Default: messages are dropped.
 */
export async function readPending(
  directory: string,
  consumer: string,
  limit: number,
  onTrouble: (message: string) => void = () => undefined,
): Promise<string[]> {
  const records: string[] = []
  if (!(await exists(directory))) return records
  // Read the progress as a start does: if its file is damaged or missing, begin at the oldest record.
  const progress = await ConsumerStore.open(nodeFiles, directory, new SpaceReserve(nodeFiles, directory), onTrouble)
  const fromOffset = progress.get(consumer)?.offset ?? 0
  for await (const found of inspectLog(directory, { fromOffset, onWarning: onTrouble })) {
    if (found.kind === 'damage') {
      const { segment, position, reason } = found.damage
      onTrouble(`${directory}/${segment} is damaged at ${position}: ${reason}`)
    }
    if (found.kind !== 'group') continue
    const { payload, baseOffset } = found.group
    const lines = payload.toString().split('\n').slice(0, -1)
    records.push(...lines.slice(Math.max(0, fromOffset - baseOffset)))
    if (records.length >= limit) break
  }
  return records.slice(0, limit)
}

async function exists(directory: string): Promise<boolean> {
  try {
    await nodeFiles.list(directory)
    return true
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return false
    throw error
  }
}
