/** `millrace config`: the configuration that a start would use, and the origin of each value. */
import { type Config, loadConfig, nearMisses, VARIABLES } from '../config.ts'
import { type ConfigFile, loadConfigFile } from '../config-file/load.ts'
import { checkRoutes, type Route, routesOfEnvironment } from '../delivery/route.ts'
import { ALIAS_PREFIX } from '../environment.ts'
import { pickFrom } from '../handlers/pick.ts'
import type { Hook } from '../hooks/hook.ts'
import { printable } from '../process/printable.ts'
import { isSecret } from '../variable.ts'
import { note, print } from './output.ts'

const HIDDEN = '(hidden)'
const ORIGIN_WIDTH = 'environment'.length

/**
 * Prints one line for each variable, then one for each entry of the config file. A line begins with the origin:
 * `default`, `environment`, `alias` or `file`. Secrets are hidden.
 * @throws MillraceError the error of a start, for a variable or the config file.
 */
export async function reportConfiguration(environment: NodeJS.ProcessEnv, configFile?: string): Promise<void> {
  const config = loadConfig(environment)
  const file = await loadConfigFile({ named: configFile })
  // Check routes also with ROLE=ingest, because another process delivers with the same file.
  checkRoutes(config, file, pickFrom(file))
  for (const warning of nearMisses(environment)) note(`millrace: ${printable(warning)}`)
  const lines = [...linesOfVariables(config), ...linesOfFile(file), ...linesOfRoutes(config, file)]
  for (const [origin, line] of lines) {
    if (!(await print(`${origin.padEnd(ORIGIN_WIDTH)}  ${printable(line)}`))) return
  }
}

type Line = readonly [origin: string, text: string]

function linesOfVariables(config: Config): Line[] {
  return Object.entries(config.origins).map(([name, origin]) => {
    const value = config[name as keyof Config]
    const shown = origin === 'default' ? String(value) : shownOf(name, value)
    return [origin, origin === 'alias' ? `${name}=${shown} (${ALIAS_PREFIX}${name})` : `${name}=${shown}`]
  })
}

function linesOfFile({ path, name, handlers, sinks, hooks }: ConfigFile): Line[] {
  if (path === undefined) return [['default', `no ${name}`]]
  const list = (of: object) => Object.keys(of).join(', ') || 'none'
  return [
    ['file', `${name}`],
    ['file', `handlers: ${list(handlers)}`],
    ['file', `sinks: ${list(sinks)}`],
    ...Object.entries(hooks).map(([hook, one]): Line => ['file', lineOfHook(hook, one)]),
  ]
}

function lineOfHook(name: string, { provider, secretVariables = [], secretFiles = [] }: Hook): string {
  return `hook ${name}: ${provider}, secret in ${[...secretVariables, ...secretFiles].join(', ')}`
}

function linesOfRoutes(config: Config, file: ConfigFile): Line[] {
  const ofEnvironment = routesOfEnvironment(config, file).map((route): Line => [config.origins.SINKS, lineOf(route)])
  return [...ofEnvironment, ...(file.routes ?? []).map((route): Line => ['file', lineOf(route)])]
}

function lineOf({ name, filter, handlers = [], sink, options = {} }: Route): string {
  const which = filter === undefined ? 'every event' : 'events of its filter'
  const through = handlers.length === 0 ? '' : ` through ${handlers.join(', ')}`
  const own = Object.entries(options).map(([option, value]) => `${option}=${shownOf(option, value)}`)
  return `route ${name}: ${which}${through} into ${sink}${own.length === 0 ? '' : ` with ${own.join(', ')}`}`
}

/**
 * Hides secrets. Options that are not variables of Millrace belong to a user's own sink, so any of them may be secret.
 */
function shownOf(name: string, value: unknown): string {
  if (!Object.hasOwn(VARIABLES, name) || isSecret(name)) return HIDDEN
  if (name !== 'HTTP_SINK_URL') return String(value)
  // The path of a webhook is often its key.
  const { origin, pathname, search } = new URL(String(value))
  return pathname === '/' && search === '' ? origin : `${origin}/${HIDDEN}`
}
