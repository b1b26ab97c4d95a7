/**
 * The segments of one log directory, in offset order: found on open, extended by the writer, shortened by retention.
 * Memory: one small entry a segment, whatever the backlog.
 */
import { join } from 'node:path'
import { MillraceError, messageOf, systemCode } from '../../errors.ts'
import type { Damage } from '../log.ts'
import { type File, type Files, readFully } from './files.ts'
import {
  decodeSegmentHeader,
  FORMAT_VERSION,
  indexName,
  parseSegmentName,
  SEGMENT_HEADER_BYTES,
  type SegmentHeader,
  segmentName,
} from './format.ts'
import { SegmentScanner } from './segment-scanner.ts'
import { SparseIndex } from './sparse-index.ts'

export interface Segment {
  readonly baseOffset: number
  /** Durable bytes: readers stop here. */
  bytes: number
  /** No more groups will come. */
  sealed: boolean
  lastAppendedAtMs: number
}

const QUARANTINE = 'quarantine'

/** Copies damaged bytes to `quarantine/`, once for each place, before anything may cut them off or delete them. */
export async function quarantine(files: Files, directory: string, file: File, damage: Damage): Promise<void> {
  const target = join(directory, QUARANTINE)
  await files.makeDirectory(target)
  const name = `${damage.segment}.${damage.position}.bad`
  if ((await files.list(target)).includes(name)) return
  const copy = await files.open(join(target, name), 'create')
  try {
    const chunk = Buffer.allocUnsafeSlow(Math.min(damage.bytes, 1024 * 1024))
    for (let done = 0; done < damage.bytes; ) {
      const bytes = await readFully(file, chunk, 0, Math.min(chunk.length, damage.bytes - done), damage.position + done)
      if (bytes === 0) break
      for (let written = 0; written < bytes; ) {
        written += await copy.write(chunk, written, bytes - written, done + written)
      }
      done += bytes
    }
  } finally {
    await copy.close()
  }
}

async function segmentNames(files: Files, directory: string): Promise<string[]> {
  return (await files.list(directory)).filter((name) => parseSegmentName(name) !== undefined).sort()
}

async function readHeader(
  files: Files,
  path: string,
): Promise<{ header: SegmentHeader | undefined; size: number; mtimeMs: number }> {
  const file = await files.open(path, 'read')
  try {
    const { size, mtimeMs } = await file.stat()
    const bytes = Buffer.alloc(SEGMENT_HEADER_BYTES)
    const header = decodeSegmentHeader(bytes.subarray(0, await readFully(file, bytes, 0, bytes.length, 0)))
    return { header, size, mtimeMs }
  } finally {
    await file.close()
  }
}

/** The id that the segments carry, from the first sound header. */
export async function findLogId(files: Files, directory: string): Promise<string | undefined> {
  for (const name of await segmentNames(files, directory)) {
    const { header } = await readHeader(files, join(directory, name))
    if (header?.version === FORMAT_VERSION) return header.logId
  }
  return undefined
}

/**
 * Lists the segments that belong to this log. One of another log is moved aside (or with `move: false` only left out),
 * so that a mixed-up directory cannot deliver foreign events.
 * @throws MillraceError LOG_FORMAT when a segment was written by a version this one cannot read.
 */
export async function listSegments(
  files: Files,
  directory: string,
  logId: string,
  onWarning: (message: string) => void,
  { move = true } = {},
): Promise<Segment[]> {
  const segments: Segment[] = []
  for (const name of await segmentNames(files, directory)) {
    const path = join(directory, name)
    const baseOffset = parseSegmentName(name) ?? 0
    const { header, size, mtimeMs } = await readHeader(files, path)
    if (header !== undefined && header.version !== FORMAT_VERSION) {
      throw new MillraceError(
        'LOG_FORMAT',
        `${path} has format version ${header.version}; this Millrace reads version ${FORMAT_VERSION}: ` +
          'start the version that wrote it, or point DATA_DIR to another directory',
      )
    }
    if (header !== undefined && (header.logId !== logId || header.baseOffset !== baseOffset)) {
      onWarning(
        `${path} belongs to another log or another place in this one: ${move ? 'moved to quarantine/' : 'left out'}`,
      )
      if (!move) continue
      await files.makeDirectory(join(directory, QUARANTINE))
      await files.rename(path, join(directory, QUARANTINE, name))
      continue
    }
    if (header === undefined && size > 0) onWarning(`${path}: its header is damaged; its groups are read all the same`)
    segments.push({ baseOffset, bytes: size, sealed: true, lastAppendedAtMs: mtimeMs })
  }
  return segments
}

export interface Recovered {
  readonly file: File
  readonly index: SparseIndex
  readonly endOffset: number
}

/**
 * Makes the last segment ready for appending: checks every group, cuts off a torn tail (after copying it to
 * quarantine), and syncs what is left, because a crash may have left it in memory only.
 */
export async function recoverSegment(
  files: Files,
  directory: string,
  segment: Segment,
  onDamage: (damage: Damage) => void,
): Promise<Recovered> {
  const name = segmentName(segment.baseOffset)
  const file = await files.open(join(directory, name), 'write')
  const scanner = new SegmentScanner(file)
  const index = new SparseIndex()
  let endOffset = segment.baseOffset
  for (;;) {
    const scanned = await scanner.next(segment.bytes)
    if (scanned === undefined) break
    if (scanned.kind === 'group') {
      const { baseOffset, count } = scanned.header
      index.add(baseOffset, scanned.position)
      endOffset = Math.max(endOffset, baseOffset + count)
      continue
    }
    if (!scanned.tail) continue // consumers report it with the count of what is missing
    const { position, bytes, reason } = scanned
    const damage = { segment: name, position, bytes, events: 0, reason: `torn tail cut off: ${reason}` }
    await quarantine(files, directory, file, damage)
    onDamage(damage)
    await file.truncate(position)
    segment.bytes = position
    break
  }
  await file.datasync()
  return { file, index, endOffset }
}

/** Removes a segment and its index; the index first, so that it never outlives its segment. */
export async function removeSegment(files: Files, directory: string, segment: Segment): Promise<void> {
  await files.remove(join(directory, indexName(segment.baseOffset))).catch(ignoreMissing)
  await files.remove(join(directory, segmentName(segment.baseOffset))).catch(ignoreMissing)
}

function ignoreMissing(error: unknown): void {
  if (systemCode(error) !== 'ENOENT') throw new Error(messageOf(error), { cause: error })
}
