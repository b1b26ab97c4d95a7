/**
 * `millrace upgrade`: shows what changes for a project between the version in its `package.json`, for which it was
 * made, and the installed version. The changes are in `upgrade-notes.json`, which each release extends
 * (CONTRIBUTING.md).
 */
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import packageJson from '../../package.json' with { type: 'json' }
import upgradeNotes from '../../upgrade-notes.json' with { type: 'json' }
import { ALIAS_PREFIX } from '../environment.ts'
import { MillraceError, messageOf } from '../errors.ts'
import { findIdentity } from '../log/embedded/directory.ts'
import { nodeFiles } from '../log/embedded/files.ts'
import { print } from './output.ts'

export interface Change {
  readonly kind: 'config key' | 'variable' | 'metric' | 'format' | 'stack'
  /** For a key, variable or metric: its spelling, which is searched for in the project. */
  readonly name: string
  /** What has changed. */
  readonly what: string
  /** What a project that uses it must do. Absent: nothing. */
  readonly fix?: string
  /** Only for a format: whether the previous version can read the data of this one, or refuses it. */
  readonly rollBack?: 'works' | 'refused'
}

export interface UpgradeNotes {
  /** Oldest first. */
  readonly versions: readonly { readonly version: string; readonly changes: readonly Change[] }[]
}

export interface UpgradeOptions {
  /** Only print the changes: package.json keeps its version. */
  readonly check: boolean
  /** Version that the project was made for. Default: the version in its package.json. */
  readonly from?: string | undefined
  /** Data directory of the service. If it has a log, its format is checked. */
  readonly dataDirectory: string
  /** Default: the working directory. */
  readonly directory?: string
  /** Default: the notes of the package, and its version. */
  readonly notes?: UpgradeNotes
  readonly installed?: string
}

const VERSION = /^(\d+)\.(\d+)\.(\d+)$/
/** Directories and files that are generated, installed, or not text of the project. */
const NOT_SEARCHED = new Set(['node_modules', '.git', 'data', 'cdktf.out', 'dist', 'build', 'package-lock.json'])
const MOST_FILES = 5000
const MOST_FILE_BYTES = 1_000_000

/**
 * Prints each change, and the places in the project that it affects. Without `check`, it then writes the installed
 * version into package.json, unless something has to be done first.
 * @returns whether nothing has to be done.
 * @throws MillraceError CONFIG_INVALID when the version of the project is unknown or later than the installed one;
 *   LOG_FORMAT when a later version wrote the log.
 */
export async function upgrade(options: UpgradeOptions): Promise<boolean> {
  const { check, directory = process.cwd(), installed = packageJson.version } = options
  const { notes = upgradeNotes as UpgradeNotes } = options
  const from = options.from ?? versionOf(directory)
  if (isLater(from, installed)) {
    throw invalid(`this is ${installed}, and the project was made for ${from}: install millrace@${from} or later`)
  }
  const log = join(options.dataDirectory, 'log')
  if (existsSync(log)) await findIdentity(nodeFiles, log)
  const changes = changesBetween(notes, from, installed)
  const todo: Change[] = []
  for (const { version, ...change } of changes) {
    const places = placesOf(change, directory)
    const isToDo = change.fix !== undefined && places.length > 0
    if (isToDo) todo.push(change)
    await print(lineOf(version, change, places))
  }
  const verdict = todo.length === 0 ? 'nothing has to be done' : `${todo.length} of them to do before the start`
  await print(`${from} → ${installed}: ${changes.length} changes, ${verdict}`)
  if (!check && todo.length === 0) record(directory, installed)
  return todo.length === 0
}

/** The changes of versions later than `from`, up to `to`, oldest first. */
export function changesBetween(notes: UpgradeNotes, from: string, to: string): (Change & { version: string })[] {
  const passed = notes.versions.filter(({ version }) => isLater(version, from) && !isLater(version, to))
  return passed.flatMap(({ version, changes }) => changes.map((change) => ({ ...change, version })))
}

function lineOf(version: string, { kind, name, what, fix, rollBack }: Change, places: readonly string[]): string {
  const back =
    rollBack && `a return to the version before ${rollBack === 'works' ? 'works' : 'is refused at its start'}`
  const where = places.length > 0 && kind !== 'format' && kind !== 'stack' ? `found in ${places.join(', ')}` : undefined
  return [`${version}  ${kind} ${name}: ${what}`, fix, back, where].filter((part) => part !== undefined).join(' · ')
}

/** Changes of formats and stacks affect every project; other changes only a project that has the name. */
function placesOf({ kind, name }: Change, directory: string): string[] {
  if (kind === 'format' || kind === 'stack') return ['.']
  const word = new RegExp(`\\b(${ALIAS_PREFIX})?${name}\\b`)
  const isSet = kind === 'variable' && (process.env[name] ?? process.env[`${ALIAS_PREFIX}${name}`]) !== undefined
  const files = filesIn(directory).filter((path) => word.test(readFileSync(path, 'utf8')))
  return [...(isSet ? ['the environment'] : []), ...files.map((path) => relative(directory, path))]
}

/** Text files of the project, within limits of number and size. */
function filesIn(directory: string): string[] {
  const found: string[] = []
  const directories = [directory]
  for (let next = directories.pop(); next !== undefined && found.length < MOST_FILES; next = directories.pop()) {
    for (const entry of readdirSync(next, { withFileTypes: true })) {
      const path = join(next, entry.name)
      if (NOT_SEARCHED.has(entry.name)) continue
      if (entry.isDirectory()) directories.push(path)
      else if (entry.isFile() && statSync(path).size <= MOST_FILE_BYTES) found.push(path)
    }
  }
  return found.sort()
}

function versionOf(directory: string): string {
  const version = manifestOf(directory).millrace?.version
  if (typeof version === 'string' && VERSION.test(version)) return version
  throw invalid(
    'package.json has no "millrace": { "version": "…" }: say with --from which version this project was made for',
  )
}

function record(directory: string, version: string): void {
  const manifest = manifestOf(directory)
  const content = { ...manifest, millrace: { ...manifest.millrace, version } }
  writeFileSync(join(directory, 'package.json'), `${JSON.stringify(content, undefined, 2)}\n`)
}

function manifestOf(directory: string): { readonly millrace?: { readonly version?: unknown } } {
  try {
    return JSON.parse(readFileSync(join(directory, 'package.json'), 'utf8'))
  } catch (cause) {
    throw invalid(`package.json in ${directory} cannot be read (${messageOf(cause)}): run this in a project`, cause)
  }
}

function isLater(one: string, other: string): boolean {
  const [first, second] = [numbersOf(one), numbersOf(other)]
  const at = first.findIndex((part, index) => part !== second[index])
  return at !== -1 && (first[at] as number) > (second[at] as number)
}

function numbersOf(version: string): number[] {
  const parts = VERSION.exec(version)
  if (parts === null) throw invalid(`"${version}" is not a version: write one such as 0.1.0`)
  return parts.slice(1).map(Number)
}

function invalid(problem: string, cause?: unknown): MillraceError {
  return new MillraceError('CONFIG_INVALID', problem, { cause })
}
