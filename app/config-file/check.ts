/** Checks the export of a config file. Routes are checked together with the environment: see delivery/route.ts. */
import { nearestName } from '../edit-distance.ts'
import { MillraceError } from '../errors.ts'
import { describe } from '../event.ts'
import { checkHooks } from '../hooks/check.ts'
import { SINK_NAMES } from '../sinks/variables.ts'
import type { UserConfig } from './define.ts'

const KEYS = ['handlers', 'sinks', 'routes', 'hooks'] as const
const HANDLER_NAME = /^[A-Za-z0-9_.-]+$/
const SINK_NAME = /^[a-z0-9][a-z0-9_-]{0,63}$/
const EXAMPLE = 'write "export default defineConfig({ handlers, sinks, routes })"'

/**
 * @param file name of the file in messages.
 * @throws MillraceError CONFIG_INVALID; its message names the file, the key and what was expected.
 */
export function checkUserConfig(file: string, value: unknown): UserConfig {
  const fail = (problem: string) => new MillraceError('CONFIG_INVALID', `${file}: ${problem}`)
  if (value === undefined) throw fail(`there is no default export: ${EXAMPLE}`)
  if (!isObject(value)) throw fail(`the default export is ${describeValue(value)}, not an object: ${EXAMPLE}`)
  if (typeof value.then === 'function') throw fail('the default export is a promise: write "export default await …"')
  for (const key of Object.keys(value)) {
    if (KEYS.some((known) => known === key)) continue
    const near = nearestName(key, KEYS)
    const advice = near === undefined ? `use ${KEYS.join(', ')}` : `did you mean ${near}?`
    throw fail(`there is no "${key}" in it: ${advice}`)
  }
  const { handlers, sinks, routes } = value
  checkFunctions(fail, 'handlers', handlers, HANDLER_NAME, 'letters, digits, _, - and .')
  checkFunctions(fail, 'sinks', sinks, SINK_NAME, '1 to 64 lower-case letters, digits, - and _')
  for (const name of Object.keys(sinks ?? {})) {
    if (SINK_NAMES.some((own) => own === name))
      throw fail(`sinks.${name}: Millrace has a sink of this name: rename yours`)
  }
  if (routes !== undefined && !Array.isArray(routes)) {
    throw fail(`routes is ${describeValue(routes)}, not an array of { name, filter, handlers, sink, options }`)
  }
  for (const [index, route] of (routes ?? []).entries()) {
    if (!isObject(route)) throw fail(`routes[${index}] is ${describeValue(route)}, not { name, sink, … }`)
  }
  checkHooks(fail, value.hooks)
  return value // each part is checked above, except the content of routes: see checkRoutes
}

function checkFunctions(
  fail: (problem: string) => MillraceError,
  key: 'handlers' | 'sinks',
  value: unknown,
  wanted: RegExp,
  inWords: string,
): void {
  const call = key === 'handlers' ? '(event, context) => …' : '({ options }) => …'
  if (value === undefined) return
  if (!isObject(value)) throw fail(`${key} is ${describeValue(value)}, not an object such as { name: ${call} }`)
  for (const [name, one] of Object.entries(value)) {
    if (!wanted.test(name)) throw fail(`${key}: ${JSON.stringify(name)} is not a name, which has ${inWords}`)
    if (typeof one !== 'function') throw fail(`${key}.${name} is ${describeValue(one)}, not a function ${call}`)
  }
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Describes a value for a message; never shows the content of a string, which may be a secret. */
export function describeValue(value: unknown): string {
  if (typeof value === 'string') return 'a text'
  return typeof value === 'function' ? 'a function' : describe(value)
}
