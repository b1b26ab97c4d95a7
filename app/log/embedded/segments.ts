/**
 * The segments of one log directory, in offset order: found on open, added by the writer, removed by retention.
 * Memory: one small entry for each segment, however large the backlog is.
 */
import { join } from 'node:path'
import { messageOf, systemCode } from '../../errors.ts'
import type { AppendTimes } from '../append-times.ts'
import type { Damage } from '../log.ts'
import { type File, type Files, readFully, writeFully } from './files.ts'
import {
  decodeSegmentHeader,
  FORMAT_VERSION,
  GROUP_HEADER_BYTES,
  indexName,
  parseSegmentName,
  readGroupHeader,
  SEGMENT_HEADER_BYTES,
  type SegmentHeader,
  segmentName,
} from './format.ts'
import { isNoSpace } from './reserve.ts'
import { SegmentScanner } from './segment-scanner.ts'
import { SparseIndex } from './sparse-index.ts'

export interface Segment {
  readonly baseOffset: number
  /** Durable bytes: readers stop here. */
  bytes: number
  /** No more groups will come. */
  sealed: boolean
  lastAppendedAtMs: number
  /** Append time of the first group; undefined when there is no group, or its header is damaged. */
  readonly firstAppendedAtMs?: number | undefined
}

export const QUARANTINE = 'quarantine'

export function quarantineName({ segment, position }: Damage): string {
  return `${segment}.${position}.bad`
}

/**
 * Copies damaged bytes to `quarantine/`, once for each place, before they can be cut off or deleted. If the disk is
 * full, it makes no copy and adds that to the reason: an error here would stop the start, or a sink.
 */
export async function quarantine(files: Files, directory: string, file: File, damage: Damage): Promise<Damage> {
  try {
    await copyDamage(files, directory, file, damage)
    return damage
  } catch (error) {
    if (!isNoSpace(error)) throw error
    return { ...damage, reason: `${damage.reason}; not copied to quarantine/, as there is no space` }
  }
}

async function copyDamage(files: Files, directory: string, file: File, damage: Damage): Promise<void> {
  const target = join(directory, QUARANTINE)
  await files.makeDirectory(target)
  const name = quarantineName(damage)
  const part = `${name}.part`
  const there = await files.list(target)
  if (there.includes(name)) return
  if (there.includes(part)) await files.remove(join(target, part))
  const copy = await files.open(join(target, part), 'create')
  try {
    const chunk = Buffer.allocUnsafeSlow(Math.min(damage.bytes, 1024 * 1024))
    for (let done = 0; done < damage.bytes; ) {
      const bytes = await readFully(file, chunk, 0, Math.min(chunk.length, damage.bytes - done), damage.position + done)
      if (bytes === 0) break
      await writeFully(copy, chunk.subarray(0, bytes), bytes, done)
      done += bytes
    }
  } catch (error) {
    await files.remove(join(target, part)).catch(() => undefined)
    throw error
  } finally {
    await copy.close()
  }
  await files.rename(join(target, part), join(target, name))
  await files.syncDirectory(target)
}

/** Copies damaged bytes of a segment that is not open. */
export async function quarantineDamage(files: Files, directory: string, damage: Damage): Promise<void> {
  const file = await files.open(join(directory, damage.segment), 'read')
  try {
    await copyDamage(files, directory, file, damage)
  } finally {
    await file.close()
  }
}

async function segmentNames(files: Files, directory: string): Promise<string[]> {
  return (await files.list(directory)).filter((name) => parseSegmentName(name) !== undefined).sort()
}

async function readHeader(files: Files, path: string): Promise<Omit<Found, 'name'>> {
  const file = await files.open(path, 'read')
  try {
    const { size, mtimeMs } = await file.stat()
    const bytes = Buffer.alloc(SEGMENT_HEADER_BYTES + GROUP_HEADER_BYTES)
    const filled = bytes.subarray(0, await readFully(file, bytes, 0, bytes.length, 0))
    const firstAppendedAtMs = readGroupHeader(filled, SEGMENT_HEADER_BYTES)?.appendedAtMs
    return { header: decodeSegmentHeader(filled.subarray(0, SEGMENT_HEADER_BYTES)), firstAppendedAtMs, size, mtimeMs }
  } finally {
    await file.close()
  }
}

/** How many headers are read at the same time, so that a start does not wait for one file after the other. */
const AT_ONCE = 32

interface Found {
  readonly name: string
  readonly header: SegmentHeader | undefined
  readonly firstAppendedAtMs: number | undefined
  readonly size: number
  readonly mtimeMs: number
}

/** In the order of their offsets. */
async function readHeaders(files: Files, directory: string): Promise<Found[]> {
  const names = await segmentNames(files, directory)
  const found: Found[] = []
  for (let at = 0; at < names.length; at += AT_ONCE) {
    const some = names.slice(at, at + AT_ONCE)
    const read = some.map(async (name) => ({ name, ...(await readHeader(files, join(directory, name))) }))
    found.push(...(await Promise.all(read)))
  }
  return found
}

/** Reads all segment headers: the log ids in valid headers, oldest first, and a version that this one cannot read. */
export async function surveySegments(
  files: Files,
  directory: string,
): Promise<{ logIds: ReadonlySet<string>; otherVersion: number | undefined }> {
  const logIds = new Set<string>()
  let otherVersion: number | undefined
  for (const { header } of await readHeaders(files, directory)) {
    if (header?.version === FORMAT_VERSION) logIds.add(header.logId)
    else otherVersion ??= header?.version
  }
  return { logIds, otherVersion }
}

/**
 * Lists the segments that belong to this log. A segment of another log is moved to quarantine, so that a mixed-up
 * directory cannot deliver foreign events. A segment with an incomplete header is removed: a crash right after creation
 * leaves it. It holds no event, but it must not come back between events that are written later. With `clear: false`,
 * both kinds are only skipped.
 */
export async function listSegments(
  files: Files,
  directory: string,
  logId: string,
  onWarning: (message: string) => void,
  { clear = true } = {},
): Promise<Segment[]> {
  const segments: Segment[] = []
  let removed = false
  for (const { name, header: found, firstAppendedAtMs, size, mtimeMs } of await readHeaders(files, directory)) {
    const path = join(directory, name)
    const baseOffset = parseSegmentName(name) ?? 0
    if (size < SEGMENT_HEADER_BYTES) {
      if (clear) await removeSegment(files, directory, baseOffset)
      removed ||= clear
      continue
    }
    const header = found?.version === FORMAT_VERSION ? found : undefined // findIdentity checked the version
    if (header !== undefined && (header.logId !== logId || header.baseOffset !== baseOffset)) {
      onWarning(
        `${path} belongs to another log or another place in this one: ${clear ? 'moved to quarantine/' : 'left out; a start, or log repair, moves it to quarantine/'}`,
      )
      if (!clear) continue
      await files.makeDirectory(join(directory, QUARANTINE))
      await files.rename(path, join(directory, QUARANTINE, name))
      for (const changed of [join(directory, QUARANTINE), directory]) await files.syncDirectory(changed)
      continue
    }
    if (header === undefined) onWarning(`${path}: its header is damaged; its groups are read all the same`)
    segments.push({ baseOffset, bytes: size, sealed: true, lastAppendedAtMs: mtimeMs, firstAppendedAtMs })
  }
  if (removed) await files.syncDirectory(directory)
  return segments
}

export interface Recovered {
  readonly file: File
  readonly index: SparseIndex
  readonly endOffset: number
}

/**
 * Makes the last segment ready for appending: verifies every group, cuts off a torn tail (after copying it to
 * quarantine), and syncs the rest. After a crash, that may be in memory only. Before the sync, the last group is written
 * again and the file is truncated again: if an earlier sync of them failed, the kernel treats them as clean. Earlier
 * groups are durable: the last group was written only after their sync.
 * @param times gets the append times of the groups.
 */
export async function recoverSegment(
  files: Files,
  directory: string,
  segment: Segment,
  onDamage: (damage: Damage) => void,
  times: AppendTimes,
): Promise<Recovered> {
  const name = segmentName(segment.baseOffset)
  const file = await files.open(join(directory, name), 'write')
  const scanner = new SegmentScanner(file)
  const index = new SparseIndex()
  let endOffset = segment.baseOffset
  let last = 0
  for (;;) {
    const scanned = await scanner.next(segment.bytes)
    if (scanned === undefined) break
    if (scanned.kind === 'group') {
      const { baseOffset, count, appendedAtMs } = scanned.header
      index.add(baseOffset, scanned.position)
      // What is missing before a group cannot be delivered: the oldest event that waits is of this group.
      times.add(Math.min(endOffset, baseOffset), appendedAtMs)
      last = scanned.position
      endOffset = Math.max(endOffset, baseOffset + count)
      continue
    }
    if (!scanned.tail) continue // consumers report this damage, with the number of missing events
    const { position, bytes, reason } = scanned
    const damage = { segment: name, position, bytes, events: 0, reason: `torn tail cut off: ${reason}` }
    onDamage(await quarantine(files, directory, file, damage))
    await file.truncate(position)
    segment.bytes = position
    break
  }
  if (scanner.position < segment.bytes) {
    // Zeros that a killed process had allocated ahead.
    await file.truncate(scanner.position)
    segment.bytes = scanner.position
  }
  // Change the length and truncate again. If the sync of an earlier truncate failed, the kernel treats the length as
  // durable, and a power cut would bring the removed bytes back.
  await file.truncate(segment.bytes + 1)
  await file.truncate(segment.bytes)
  await writeAgain(file, last, segment.bytes - last)
  await file.datasync()
  return { file, index, endOffset }
}

async function writeAgain(file: File, position: number, length: number): Promise<void> {
  const bytes = Buffer.allocUnsafeSlow(length)
  await writeFully(file, bytes, await readFully(file, bytes, 0, length, position), position)
}

/** Removes a segment and its index. The index goes first, so that it never outlives its segment. */
export async function removeSegment(files: Files, directory: string, baseOffset: number): Promise<void> {
  await files.remove(join(directory, indexName(baseOffset))).catch(ignoreMissing)
  await files.remove(join(directory, segmentName(baseOffset))).catch(ignoreMissing)
}

function ignoreMissing(error: unknown): void {
  if (systemCode(error) !== 'ENOENT') throw new Error(messageOf(error), { cause: error })
}
