/** Checks whether a directory is a log before a command reads it, without creating, locking or changing anything. */
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { MillraceError, messageOf, systemCode } from '../errors.ts'
import { findIdentity, lockHolder } from '../log/embedded/directory.ts'
import { nodeFiles } from '../log/embedded/files.ts'
import { parseSegmentName } from '../log/embedded/format.ts'

/**
 * @throws MillraceError DATA_DIR_UNUSABLE when there is no log (says what is there instead); LOG_FORMAT when another
 *   version wrote it.
 */
export async function requireLog(directory: string): Promise<void> {
  const names = await listDirectory(directory, 'name the log directory with --dir')
  if (await isLog(directory, names)) {
    await findIdentity(nodeFiles, directory).catch((error) => {
      throw unreadable(directory, error, 'name the log directory with --dir')
    })
    return
  }
  const inside = names.includes('log') && (await isLog(join(directory, 'log')).catch(() => false))
  const fix = inside
    ? `the log is in ${join(directory, 'log')}: name that with --dir`
    : 'name the log directory with --dir'
  const what = names.length === 0 ? 'is empty' : inside ? 'is a data directory' : 'holds no log of Millrace'
  throw new MillraceError('DATA_DIR_UNUSABLE', `${directory} ${what}: ${fix}`)
}

/** Whether there are segments or log.json: every start leaves them. */
async function isLog(directory: string, names?: readonly string[]): Promise<boolean> {
  const all = names ?? (await readdir(directory))
  if (all.some((name) => parseSegmentName(name) !== undefined)) return true
  if (!all.includes('log.json')) return false
  try {
    const { version, id } = JSON.parse(await readFile(join(directory, 'log.json'), 'utf8'))
    return Number.isInteger(version) && typeof id === 'string'
  } catch {
    return false // a file of another program
  }
}

/** @throws MillraceError DATA_DIR_LOCKED while a service has the log open. Checks without changing any file. */
export async function requireStopped(directory: string): Promise<void> {
  const holder = await lockHolder(directory)
  if (holder === undefined) return
  throw new MillraceError(
    'DATA_DIR_LOCKED',
    `${directory} is in use by a running Millrace (process ${holder}): stop it first`,
  )
}

/** @param fix advice for the message when the directory cannot be read. */
export async function listDirectory(directory: string, fix: string): Promise<string[]> {
  try {
    return await readdir(directory)
  } catch (error) {
    throw unreadable(directory, error, fix)
  }
}

export function unreadable(directory: string, error: unknown, fix: string): MillraceError {
  if (error instanceof MillraceError) return error
  const code = systemCode(error)
  const advice = code === 'EACCES' || code === 'EPERM' ? 'run this as the user of the service' : fix
  return new MillraceError('DATA_DIR_UNUSABLE', `cannot read ${directory} (${messageOf(error)}): ${advice}`, {
    cause: error,
  })
}
