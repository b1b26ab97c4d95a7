/**
 * Finds and loads the config file.
 *
 *     --config FILE, else millrace.config.{ts,js,mjs} in the working directory, else beside the app/ that runs ─import─▶ check
 *
 * The last place is that of a clone, an image or a release, whatever directory it is started in. Node removes the types
 * of a `.ts` file itself, except below `node_modules`. What it does that with stays in memory, so `npm start` runs the file that
 * scripts/build.ts has made of the one in the working directory (docs/decisions/0033-config-file.md).
 */
import { statSync } from 'node:fs'
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
  /** Absolute; undefined where there is no file. */
  readonly path: string | undefined
  /** What messages call it: relative to the working directory where it is in there. */
  readonly name: string
  readonly handlers: Readonly<Record<string, Handler>>
  readonly sinks: Readonly<Record<string, SinkFactory>>
  /** undefined: the file has none, and `SINKS` says it. */
  readonly routes: readonly Route[] | undefined
  readonly hooks: Readonly<Record<string, Hook>>
}

/** As where there is no file. */
export const NO_CONFIG_FILE: ConfigFile = {
  path: undefined,
  name: CONFIG_FILE_NAMES[0],
  handlers: {},
  sinks: {},
  routes: undefined,
  hooks: {},
}

/** Where `app/` is: the clone, `build/`, the image, a release. */
const TREE = fileURLToPath(new URL('../../', import.meta.url))
/**
 * What the file imports as `millrace` is what runs, wherever the file lies: a second copy of the modules would have other
 * classes, and take their memory again.
 */
const SHARED: Readonly<Record<string, string>> = {
  millrace: new URL('../index.ts', import.meta.url).href,
  'millrace/testing': new URL('../testing/index.ts', import.meta.url).href,
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
 * `node --watch` is told of a module only once that was parsed (Node 22.23): one with a mistake would not be watched, and the
 * service would not come back when it is corrected. So it is told before, in Node's own words.
 */
function watch(url: string): void {
  if (process.env.WATCH_REPORT_DEPENDENCIES && url.startsWith('file:')) process.send?.({ 'watch:import': [url] })
}

/**
 * @param options.named the value of `--config`. Default: the file is looked for.
 * @param options.directory that relative paths begin in. Default: the working directory.
 * @throws MillraceError CONFIG_INVALID, naming the file, the key and what was expected.
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
  const local = relative(directory, path)
  const name = local.startsWith('..') || isAbsolute(local) ? path : local
  return configFileOf(name, await load(path, name), path)
}

/**
 * @param name what messages call it.
 * @param value what it exports.
 * @throws MillraceError CONFIG_INVALID, naming the key and what was expected.
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
    return ((await import(href)) as { default?: unknown }).default
  } catch (cause) {
    const place = placeIn(cause, [path, href])
    // V8 keeps the place of a mistake in JavaScript to itself, until the error ends a process.
    const advice = place === '' && cause instanceof SyntaxError ? ` (node --check ${name} shows the line)` : ''
    throw invalid(`${name}: it cannot be loaded${place}: ${firstLine(messageOf(cause))}${advice}`, cause)
  }
}

/** Line and column of the file where a stack, or the error of a parser, has them. */
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
