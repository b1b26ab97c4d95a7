/** The directory of a log: its lock, its identity, and new segments. */
import { randomUUID } from 'node:crypto'
import { type FileHandle, open } from 'node:fs/promises'
import { join } from 'node:path'
import { tryLock } from 'fs-native-extensions'
import { MillraceError, messageOf, systemCode } from '../../errors.ts'
import { type File, type Files, readWhole, replaceFile, writeFully } from './files.ts'
import { encodeSegmentHeader, FORMAT_VERSION, SEGMENT_HEADER_BYTES, segmentName } from './format.ts'
import { surveySegments } from './segments.ts'

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

/**
 * Which process holds the lock of the directory. Tests with a shared lock, which only needs to read the file.
 * @returns the process id from the lock file, `unknown` if it is empty; undefined when no process holds the lock.
 */
export async function lockHolder(directory: string): Promise<string | undefined> {
  let file: FileHandle
  try {
    file = await open(join(directory, LOCK), 'r')
  } catch (error) {
    if (systemCode(error) === 'ENOENT' || systemCode(error) === 'ENOTDIR') return undefined
    throw unusable(directory, error)
  }
  try {
    if (tryLock(file.fd, { shared: true })) return undefined
    return (await file.readFile('utf8')).trim() || 'unknown'
  } finally {
    await file.close()
  }
}

/**
 * The log's id, created on first open. It is read from log.json. If that file is lost, or no segment has its id, the id
 * comes from a segment.
 * @throws MillraceError LOG_FORMAT when a version that this one cannot read wrote the log. A version number that the
 *   segments contradict is ignored, because it may have a flipped bit.
 */
export async function identify(files: Files, directory: string): Promise<string> {
  const { id, isWritten } = await findIdentity(files, directory)
  if (isWritten) return id
  const content = JSON.stringify({ version: FORMAT_VERSION, id, createdAt: new Date().toISOString() })
  await replaceFile(files, directory, IDENTITY, Buffer.from(`${content}\n`))
  return id
}

/**
 * The id that a start would use for the log; writes nothing.
 * @throws MillraceError LOG_FORMAT: see {@link identify}.
 */
export async function findIdentity(
  files: Files,
  directory: string,
): Promise<{ readonly id: string; readonly isWritten: boolean }> {
  const written = await readIdentity(files, directory)
  const { logIds, otherVersion } = await surveySegments(files, directory)
  const isKnown = written !== undefined && (logIds.size === 0 || logIds.has(written.id))
  if (isKnown && written.version === FORMAT_VERSION) return { id: written.id, isWritten: true }
  const [logId] = logIds
  const other = otherVersion ?? (logId === undefined ? written?.version : undefined)
  if (other !== undefined) {
    throw new MillraceError(
      'LOG_FORMAT',
      `${directory} has format version ${other}; this Millrace reads version ${FORMAT_VERSION}: ` +
        'start the version that wrote it, or point DATA_DIR to another directory',
    )
  }
  return { id: logId ?? randomUUID(), isWritten: false }
}

async function readIdentity(files: Files, directory: string): Promise<{ version: number; id: string } | undefined> {
  if (!(await files.list(directory)).includes(IDENTITY)) return undefined
  try {
    const { version, id } = JSON.parse((await readWhole(files, join(directory, IDENTITY))).toString())
    return typeof id === 'string' && id.length === 36 && Number.isInteger(version) ? { version, id } : undefined
  } catch {
    return undefined
  }
}

/**
 * Creates a segment. When this returns, the segment, its header and its name are durable.
 * @throws a system error when the segment could not be created; it is then durably removed. That matters, because new
 *   events go on into the previous segment with the same offsets: a segment that a power cut brought back could hide
 *   them from readers. An error without a code: the segment may still exist, so nothing may be written until a start
 *   has removed it.
 */
export async function createSegment(files: Files, directory: string, logId: string, baseOffset: number): Promise<File> {
  const path = join(directory, segmentName(baseOffset))
  const file = await files.open(path, 'create')
  try {
    await writeFully(file, encodeSegmentHeader(logId, baseOffset, Date.now()), SEGMENT_HEADER_BYTES, 0)
    await files.syncDirectory(directory)
    return file
  } catch (error) {
    await file.close()
    try {
      await files.remove(path)
      await files.syncDirectory(directory)
    } catch (cause) {
      throw new Error(`${messageOf(error)}; ${path} could not be removed again: ${messageOf(cause)}`, { cause })
    }
    throw error
  }
}

/** Any error while opening, with advice for the operator. */
export function unusable(directory: string, error: unknown): MillraceError {
  if (error instanceof MillraceError) return error
  return new MillraceError(
    'DATA_DIR_UNUSABLE',
    `cannot use ${directory} (${messageOf(error)}): make it writable for this user, or set DATA_DIR to another directory`,
    { cause: error },
  )
}

/** No space: the append is refused, but the log has not failed, because space may return. */
export function diskFull(directory: string, cause: unknown): MillraceError {
  const message = `no space left for ${directory} (${messageOf(cause)}): free some, writes go on by themselves`
  return new MillraceError('DISK_FULL', message, { cause })
}

/** No file descriptor: refused as well, because other holders may close theirs. */
export function tooManyFiles(directory: string, cause: unknown): MillraceError {
  const message = `cannot open a file in ${directory} (${messageOf(cause)}): raise the limit of open files (ulimit -n)`
  return new MillraceError('LOG_UNAVAILABLE', message, { cause })
}
