/** What makes a directory a log: its lock, its identity, and new segments in it. */
import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { MillraceError, messageOf } from '../../errors.ts'
import { type File, type Files, readWhole, replaceFile, writeFully } from './files.ts'
import { encodeSegmentHeader, FORMAT_VERSION, SEGMENT_HEADER_BYTES, segmentName } from './format.ts'
import { findLogId } from './segments.ts'

const LOCK = 'lock'
const IDENTITY = 'log.json'

/** Takes the lock of the directory, creating it if needed. */
export async function takeLock(files: Files, directory: string): Promise<{ release(): Promise<void> }> {
  let lock: { release(): Promise<void> } | undefined
  try {
    await files.makeDirectory(directory)
    lock = await files.lock(join(directory, LOCK), `${process.pid}\n`)
  } catch (error) {
    throw unusable(directory, error)
  }
  if (lock) return lock
  const holder = await readWhole(files, join(directory, LOCK)).catch(() => '')
  throw new MillraceError(
    'DATA_DIR_LOCKED',
    `${directory} is in use by another Millrace (process ${String(holder).trim() || 'unknown'}): ` +
      'stop that one, or set DATA_DIR to another directory',
  )
}

/** The log's id: made on first open; taken from a segment when its file was lost or damaged. */
export async function identify(files: Files, directory: string): Promise<string> {
  if ((await files.list(directory)).includes(IDENTITY)) {
    try {
      const { id } = JSON.parse((await readWhole(files, join(directory, IDENTITY))).toString())
      if (typeof id === 'string' && id.length === 36) return id
    } catch {}
  }
  const id = (await findLogId(files, directory)) ?? randomUUID()
  const content = JSON.stringify({ version: FORMAT_VERSION, id, createdAt: new Date().toISOString() })
  await replaceFile(files, directory, IDENTITY, Buffer.from(`${content}\n`))
  return id
}

/** The segment, its header and its name are durable when this returns. */
export async function createSegment(files: Files, directory: string, logId: string, baseOffset: number): Promise<File> {
  const path = join(directory, segmentName(baseOffset))
  const file = await files.open(path, 'create')
  try {
    await writeFully(file, encodeSegmentHeader(logId, baseOffset, Date.now()), SEGMENT_HEADER_BYTES, 0)
    await file.datasync()
    await files.syncDirectory(directory)
    return file
  } catch (error) {
    await file.close()
    await files.remove(path).catch(() => undefined)
    throw error
  }
}

/** Any error while opening, in the operator's words. */
export function unusable(directory: string, error: unknown): MillraceError {
  if (error instanceof MillraceError) return error
  return new MillraceError(
    'DATA_DIR_UNUSABLE',
    `cannot use ${directory} (${messageOf(error)}): make it writable for this user, or set DATA_DIR to another directory`,
    { cause: error },
  )
}

/** Room may come back: refused, not failed. */
export function diskFull(directory: string, cause: unknown): MillraceError {
  const message = `no space left for ${directory} (${messageOf(cause)}): free some, writes go on by themselves`
  return new MillraceError('DISK_FULL', message, { cause })
}
