/** Checks the directories that a start writes to, before it creates anything. `config --check` uses the same checks. */
import { constants } from 'node:fs'
import { access, stat } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import type { Config } from '../config.ts'
import type { CheckedRoute } from '../delivery/route.ts'
import { MillraceError, messageOf, systemCode } from '../errors.ts'

/** @throws MillraceError DATA_DIR_UNUSABLE, naming the directory and the variable. */
export async function checkDirectories(config: Config, routes: readonly CheckedRoute[]): Promise<void> {
  if (config.LOG_ENGINE === 'embedded') {
    await requireWritable(join(config.DATA_DIR, 'log'), 'DATA_DIR')
    for (const { name } of routes) await requireWritable(join(config.DATA_DIR, 'dead-letters', name), 'DATA_DIR')
  }
  for (const route of routes) {
    if (route.sink === 'file') await requireWritable(route.config.FILE_SINK_DIR, 'FILE_SINK_DIR')
  }
}

/** Checks the directory, or its nearest existing parent, in which it would be created. */
async function requireWritable(directory: string, variable: string): Promise<void> {
  const path = resolve(directory)
  try {
    await access(await nearest(path), constants.W_OK | constants.X_OK)
  } catch (cause) {
    const fix = `make it writable for this user, or set ${variable} to another directory`
    throw new MillraceError('DATA_DIR_UNUSABLE', `cannot use ${directory} (${messageOf(cause)}): ${fix}`, { cause })
  }
}

async function nearest(path: string): Promise<string> {
  const found = await stat(path).catch((error) => {
    if (systemCode(error) === 'ENOENT') return undefined
    throw error
  })
  if (found === undefined) return nearest(dirname(path))
  if (found.isDirectory()) return path
  throw new Error(`${path} is a file, not a directory`)
}
