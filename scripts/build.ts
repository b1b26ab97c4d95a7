/**
 * `node scripts/build.ts [directory] [--npm]`: the service as JavaScript, in `build` unless said otherwise: `app/cli.js` and
 * what belongs to it, and the config file of the project with the modules that it imports from beside it. Made again when a
 * source has changed. It is what `npm start`, the image and the packages run: Node removes types itself, but what it does
 * that with stays in memory, 22 MiB of 110 (docs/decisions/0030-quiet.md), and it does not below `node_modules`.
 *
 * `--npm`: the files of the npm package (docs/decisions/0037-package.md): with the stacks, and without a config file, which is
 * the user's own there.
 *
 * Types become spaces, so each line and column of a stack trace is that of the source.
 */
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { stripTypeScriptTypes } from 'node:module'
import { dirname, join, resolve } from 'node:path'

const PROJECT = resolve(import.meta.dirname, '..')
/** What the WebAssembly is made from, and what only a compiler reads. */
const NOT_RUN = /^app\/json\/assembly\/|\.d\.ts$|\/tsconfig\.json$/
/** Read by modules of `app/`. */
const ROOT_FILES = ['package.json', 'upgrade-notes.json']
/** A module that is named by where it lies: in an import, for a thread, or in `exports`. */
const LOCAL_MODULE = /(['"])(\.{1,2}\/[^'"\n]+)\.ts\1/g
const CONFIG_FILE = /^millrace\.config\.(ts|js|mjs)$/
const LOCAL_IMPORT = /\b(?:from|import)\s*\(?\s*(['"])(\.{1,2}\/[^'"\n]+)\1/g

/** What users of the npm package import or run of `infra/`; their `infra/config.ts` is their own. */
const STACK_ENTRIES = ['index', 'deploy', 'pipeline/main', 'sizing/main'].map((name) => `infra/${name}.ts`)

const isForNpm = process.argv.includes('--npm')
const directory = resolve(process.argv[2] ?? join(PROJECT, 'build'))
/** Says what was made, by content: times of files say nothing of a copy. */
const stamp = join(directory, '.made-of')
// It says that this function may still change; what comes out is run by every test of the image.
process.removeAllListeners('warning')

const sources = new Map(
  [...ROOT_FILES, ...filesIn(PROJECT, 'app').filter((file) => !NOT_RUN.test(file)), ...otherFiles()].map((file) => {
    return [file, readFileSync(join(PROJECT, file))]
  }),
)
const digest = digestOf(sources)
if (digest !== textOf(stamp)) {
  const made = new Set([...sources].map(([file, bytes]) => make(file, bytes)))
  for (const file of madeBefore()) if (!made.has(file) && !isBeingMade(file)) rmSync(join(directory, file))
  put(stamp, digest)
}

/** @returns its path in the directory. */
function make(file: string, bytes: Buffer): string {
  const isTypeScript = file.endsWith('.ts')
  const name = isTypeScript ? file.replace(/ts$/, 'js') : file
  if (file === 'package.json') put(join(directory, name), withLocalModules(bytes.toString()))
  else put(join(directory, name), isTypeScript ? javascriptOf(bytes.toString()) : bytes)
  return name
}

/** The stacks or the config file, and what they import by where it lies, from file to file. */
function otherFiles(): string[] {
  const found = new Set(isForNpm ? STACK_ENTRIES : readdirSync(PROJECT).filter((name) => CONFIG_FILE.test(name)))
  for (const file of found) {
    if (!/\.[jt]s$|\.mjs$/.test(file)) continue
    for (const [, , imported = ''] of readFileSync(join(PROJECT, file), 'utf8').matchAll(LOCAL_IMPORT)) {
      const path = join(dirname(file), imported)
      // From outside of the project nothing goes into an image or a package.
      if (!path.startsWith('..') && existsSync(join(PROJECT, path))) found.add(path)
    }
  }
  return [...found].filter((file) => !file.startsWith('app/'))
}

/** What a build may have made, and another one must remove when its source is gone. */
function madeBefore(): string[] {
  return [...filesIn(directory, 'app'), ...readdirSync(directory).filter((name) => CONFIG_FILE.test(name))]
}

function javascriptOf(typescript: string): string {
  return withLocalModules(stripTypeScriptTypes(typescript))
}

function withLocalModules(text: string): string {
  return text.replaceAll(LOCAL_MODULE, '$1$2.js$1')
}

/** Another process may start from it, or make it, at the same time: a file is there whole or not at all. */
function put(path: string, content: string | Buffer): void {
  mkdirSync(dirname(path), { recursive: true })
  const temporary = `${path}.${process.pid}`
  writeFileSync(temporary, content)
  renameSync(temporary, path)
}

function isBeingMade(file: string): boolean {
  return /\.\d+$/.test(file)
}

/** Paths relative to `root`. */
function filesIn(root: string, within: string): string[] {
  const entries = readdirSync(join(root, within), { recursive: true, withFileTypes: true })
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(root.length + 1))
}

/** Of the sources, and of what makes them JavaScript. */
function digestOf(files: ReadonlyMap<string, Buffer>): string {
  const hash = createHash('sha256')
    .update(process.version)
    .update(readFileSync(import.meta.filename))
  for (const [file, bytes] of files) hash.update(`${file} ${bytes.length}\n`).update(bytes)
  return hash.digest('hex')
}

function textOf(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined // not made yet
  }
}
