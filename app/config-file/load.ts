/**
 * Finds and loads the config file.
 *
 *     --config FILE, else millrace.config.{ts,js,mjs} in the working directory, else beside the app/ that runs ─import─▶ check
 *
 * The last place is for a clone, an image or a release that is started in another directory. Node itself removes the
 * types of a `.ts` file, except below `node_modules`. The code that does so stays in memory. So `npm start` runs a file
 * that scripts/build.ts has made from the one in the working directory (docs/decisions/0033-config-file.md).
 */
import { readFileSync, statSync } from 'node:fs'
import { registerHooks } from 'node:module'
import { isAbsolute, join, relative, resolve } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import type { Route } from '../delivery/route.ts'
import { MillraceError, messageOf } from '../errors.ts'
import type { Handler } from '../handlers/handler.ts'
import type { Hook } from '../hooks/hook.ts'
import type { SinkFactory } from '../sinks/sink.ts'
import { checkUserConfig } from './check.ts'

export const CONFIG_FILE_NAMES = ['millrace.config.ts', 'millrace.config.js', 'millrace.config.mjs'] as const

export interface ConfigFile {
  /** Absolute path; undefined if there is no file. */
  readonly path: string | undefined
  /** Name in messages: relative to the working directory if the file is in it. */
  readonly name: string
  readonly handlers: Readonly<Record<string, Handler>>
  readonly sinks: Readonly<Record<string, SinkFactory>>
  /** undefined: the file has no routes, so `SINKS` decides. */
  readonly routes: readonly Route[] | undefined
  readonly hooks: Readonly<Record<string, Hook>>
}

/** The value to use when there is no config file. */
export const NO_CONFIG_FILE: ConfigFile = {
  path: undefined,
  name: CONFIG_FILE_NAMES[0],
  handlers: {},
  sinks: {},
  routes: undefined,
  hooks: {},
}

/** The parent directory of `app/`: the clone, `build/`, the image or a release. */
const TREE = fileURLToPath(new URL('../../', import.meta.url))
/**
 * Imports of `millrace` in the file resolve to the running modules, wherever the file is. A second copy of the modules
 * would have different classes and take twice the memory.
 */
const SHARED: Readonly<Record<string, string>> = {
  millrace: new URL('../index.ts', import.meta.url).href,
  'millrace/testing': new URL('../testing/index.ts', import.meta.url).href,
  'millrace/client': new URL('../client/client.ts', import.meta.url).href,
  'millrace/client/spool': new URL('../client/spool.ts', import.meta.url).href,
}
let isShared = false

function shareModules(): void {
  if (isShared) return
  isShared = true
  registerHooks({
    resolve: (specifier, context, nextResolve) => {
      const url = Object.hasOwn(SHARED, specifier) ? SHARED[specifier] : undefined
      if (url !== undefined) return { url, shortCircuit: true }
      const resolved = nextResolve(specifier, context)
      watch(resolved.url)
      return resolved
    },
  })
}

/**
 * `node --watch` learns of a module only after it was parsed (Node 22.23). So it would not watch a file with a syntax
 * error, and the service would not restart when the error is fixed. This reports the file before, with the same message
 * that Node uses.
 */
function watch(url: string): void {
  if (process.env.WATCH_REPORT_DEPENDENCIES && url.startsWith('file:')) process.send?.({ 'watch:import': [url] })
}

/**
 * @param options.named the value of `--config`. Default: the file is looked for.
 * @param options.directory base of relative paths. Default: the working directory.
 * @throws MillraceError CONFIG_INVALID; its message names the file, the key and what was expected.
 */
export async function loadConfigFile({
  named,
  directory = process.cwd(),
}: {
  readonly named?: string | undefined
  readonly directory?: string
} = {}): Promise<ConfigFile> {
  const isBuiltHere = TREE === join(directory, 'build/')
  const path = named === undefined ? find(isBuiltHere ? [TREE] : [directory, TREE]) : resolve(directory, named)
  if (path === undefined) return NO_CONFIG_FILE
  if (!isFile(path)) throw invalid(`--config: there is no file ${named}`)
  if (!/\.[cm]?[jt]s$/.test(path)) throw invalid(`--config: ${named} is no module: name a .ts, .js or .mjs file`)
  const local = relative(directory, path)
  const name = local.startsWith('..') || isAbsolute(local) ? path : local
  return configFileOf(name, await load(path, name), path)
}

/**
 * @param name name of the file in messages.
 * @param value default export of the file.
 * @throws MillraceError CONFIG_INVALID; its message names the key and what was expected.
 */
export function configFileOf(name: string, value: unknown, path?: string): ConfigFile {
  const { handlers = {}, sinks = {}, routes, hooks = {} } = checkUserConfig(name, value)
  return { path, name, handlers, sinks, routes, hooks }
}

function find(directories: readonly string[]): string | undefined {
  for (const directory of directories) {
    const found = CONFIG_FILE_NAMES.filter((name) => isFile(join(directory, name)))
    const [first, second] = found
    if (second !== undefined) {
      throw invalid(`${first} and ${second} are both in ${directory}: remove one, or name one with --config`)
    }
    if (first !== undefined) return join(directory, first)
  }
  return undefined
}

async function load(path: string, name: string): Promise<unknown> {
  shareModules()
  const { href } = pathToFileURL(path)
  try {
    const { default: value } = (await import(href)) as { default?: unknown }
    // Node takes a file without an import or export for CommonJS, of which an empty object is the default export.
    return /\bexports?\b/.test(readFileSync(path, 'utf8')) ? value : undefined
  } catch (cause) {
    const place = placeIn(cause, [path, href])
    // V8 shows the position of a syntax error in JavaScript only if the error ends the process.
    const advice = place === '' && cause instanceof SyntaxError ? ` (node --check ${name} shows the line)` : ''
    throw invalid(`${name}: it cannot be loaded${place}: ${firstLine(messageOf(cause))}${advice}`, cause)
  }
}

/** Line and column in the file, if a stack or a parser error has them. */
function placeIn(error: unknown, names: readonly string[]): string {
  const stack = error instanceof Error ? (error.stack ?? '') : ''
  for (const name of names) {
    const at = stack.indexOf(`${name}:`)
    const [place] = at === -1 ? [] : (/^\d+(:\d+)?/.exec(stack.slice(at + name.length + 1)) ?? [])
    if (place !== undefined) return `, line ${place}`
  }
  return ''
}

function firstLine(text: string): string {
  return text.trim().split('\n', 1)[0] ?? ''
}

function isFile(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() ?? false
}

function invalid(problem: string, cause?: unknown): MillraceError {
  return new MillraceError('CONFIG_INVALID', problem, { cause })
}
