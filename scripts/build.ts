/**
 * `node scripts/build.ts [directory]`: the service as JavaScript, in `build` unless said otherwise: `app/cli.js` and what belongs to
 * it. What is newer than its source stays. It is what `npm start`, the image and the package run: Node removes types itself, but
 * what it does that with stays in memory, 22 MiB of 110 (docs/decisions/0030-quiet.md), and it does not below `node_modules`.
 *
 * Types become spaces, so each line and column of a stack trace is that of the source.
 */
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { stripTypeScriptTypes } from 'node:module'
import { dirname, join, resolve } from 'node:path'

const PROJECT = resolve(import.meta.dirname, '..')
/** What the WebAssembly is made from, and its types. */
const NOT_RUN = /^app\/json\/assembly\/|\.d\.ts$/
/** A module that is named by where it lies: in an import, or for a thread. */
const LOCAL_MODULE = /(['"])(\.{1,2}\/[^'"\n]+)\.ts\1/g

const directory = resolve(process.argv[2] ?? join(PROJECT, 'build'))
// It says that this function may still change; what comes out is run by every test of the image.
process.removeAllListeners('warning')

const wanted = new Map(sources().map((source) => [source.replace(/\.ts$/, '.js'), source]))
for (const there of filesIn(directory)) if (isBuilt(there) && !wanted.has(there)) rmSync(join(directory, there))
for (const [name, source] of wanted) write(join(directory, name), join(PROJECT, source))

function sources(): string[] {
  return ['package.json', ...filesIn(PROJECT, 'app').filter((file) => !NOT_RUN.test(file))]
}

/** The package has more in its directory, and another process may be writing. */
function isBuilt(file: string): boolean {
  return file.startsWith('app/') && !/\.\d+$/.test(file)
}

/** Paths relative to `root`. */
function filesIn(root: string, within = ''): string[] {
  try {
    const entries = readdirSync(join(root, within), { recursive: true, withFileTypes: true })
    return entries
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name).slice(root.length + 1))
  } catch {
    return [] // not made yet
  }
}

/** Another process may start from it at the same time: a file is there whole or not at all. */
function write(target: string, source: string): void {
  if (modifiedAtMs(target) >= modifiedAtMs(source)) return
  const bytes = readFileSync(source)
  mkdirSync(dirname(target), { recursive: true })
  const temporary = `${target}.${process.pid}`
  writeFileSync(temporary, source.endsWith('.ts') ? javascriptOf(bytes.toString()) : bytes)
  renameSync(temporary, target)
}

function javascriptOf(typescript: string): string {
  return stripTypeScriptTypes(typescript).replaceAll(LOCAL_MODULE, '$1$2.js$1')
}

function modifiedAtMs(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? Number.NEGATIVE_INFINITY
}
