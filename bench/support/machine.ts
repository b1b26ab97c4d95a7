/** What figures were measured on: they mean little without it. */
import { mkdirSync, readFileSync, statfsSync } from 'node:fs'
import { arch, cpus, release, totalmem, type } from 'node:os'
import { resolve } from 'node:path'
import { DATA_DIRECTORY } from './server.ts'
import { toolVersions } from './tools.ts'

export interface Machine {
  readonly cpu: string
  readonly cores: number
  readonly memoryGib: number
  readonly kernel: string
  /** Of the directory that events are written to. */
  readonly fileSystem: string
  /** Name → version: Node, and the tools and compilers that are there. */
  readonly versions: Readonly<Record<string, string>>
}

const GIB = 2 ** 30

export function machine(): Machine {
  return {
    cpu: cpus()[0]?.model.trim() ?? arch(),
    cores: cpus().length,
    memoryGib: Math.round(totalmem() / GIB),
    // What a distribution has put behind the version says nothing here.
    kernel: `${type()} ${/^[\d.]+/.exec(release())?.[0] ?? release()}`,
    fileSystem: fileSystem(),
    versions: { Node: process.version.slice(1), ...toolVersions() },
  }
}

/** Type of the file system by the mount whose path is the longest prefix, with the options that a sync depends on. */
function fileSystem(): string {
  mkdirSync(DATA_DIRECTORY, { recursive: true })
  if (process.platform !== 'linux') return `type ${statfsSync(DATA_DIRECTORY).type}`
  const directory = `${resolve(DATA_DIRECTORY)}/`
  const mounts = readFileSync('/proc/mounts', 'utf8')
    .split('\n')
    .map((line) => line.split(' '))
    .filter(([, path = '\0']) => directory.startsWith(path.endsWith('/') ? path : `${path}/`))
    .sort(([, a = ''], [, b = '']) => b.length - a.length)
  const [, , name = 'unknown', options = ''] = mounts[0] ?? []
  const aboutSyncs = options.split(',').filter((option) => /^(data=|commit=|sync$|(no)?barrier)/.test(option))
  return [name, ...aboutSyncs].join(', ')
}

/** Bytes that can still be written where servers keep their data. */
export function freeBytes(): number {
  mkdirSync(DATA_DIRECTORY, { recursive: true })
  const { bavail, bsize } = statfsSync(DATA_DIRECTORY)
  return bavail * bsize
}
