/**
 * A route sends selected events through handlers into a sink. Declared in the config file, checked here at the start.
 */
import { resolve } from 'node:path'
import { type Config, VARIABLES, withOptions } from '../config.ts'
import { nearestName } from '../edit-distance.ts'
import { MillraceError } from '../errors.ts'
import type { Filter, Handler, PickHandlers } from '../handlers/handler.ts'
import { deadLetterTopic, MAX_TOPIC_LENGTH } from '../log/kafka/variables.ts'
import type { SinkFactory } from '../sinks/sink.ts'
import { SINK_NAMES, type SinkName } from '../sinks/variables.ts'

interface RouteParts<HandlerName extends string> {
  /**
   * Offsets and dead letters are stored under this name: a renamed route begins at the oldest event of the log. 1 to 64
   * lower-case letters, digits, `-` and `_`.
   */
  readonly name: string
  /** Default: every event. */
  readonly filter?: Filter
  /** Names of handlers in the config file, in order. Default: none. */
  readonly handlers?: readonly HandlerName[]
}

interface BuiltInRoute<HandlerName extends string> extends RouteParts<HandlerName> {
  readonly sink: SinkName
  /** Variables with other values for this route: those of its sink, of retries and of handlers. */
  readonly options?: Partial<Pick<Config, RouteVariable>>
}

interface OwnRoute<HandlerName extends string, OwnSinkName extends string> extends RouteParts<HandlerName> {
  /** A name in `sinks` of the config file. */
  readonly sink: OwnSinkName
  /** Options of the sink. Names in capitals are variables of retries and of handlers. */
  readonly options?: Partial<Pick<Config, DeliveryVariable>> & Readonly<Record<string, unknown>>
}

export type Route<HandlerName extends string = string, OwnSinkName extends string = string> =
  | BuiltInRoute<HandlerName>
  | OwnRoute<HandlerName, OwnSinkName>

/** Variables of every delivery, whatever its sink is. */
const OF_EVERY_SINK = [
  'RETRY_BASE_MS',
  'RETRY_MAX_MS',
  'RETRY_MAX_ATTEMPTS',
  'HANDLER_CONCURRENCY',
  'HANDLER_TIMEOUT_MS',
  'DEAD_LETTER_MAX_BYTES',
] as const
type DeliveryVariable = (typeof OF_EVERY_SINK)[number]
export type RouteVariable = DeliveryVariable | Extract<keyof Config, `${string}_SINK_${string}`>

const ROUTE_KEYS = ['name', 'filter', 'handlers', 'sink', 'options']

/** A route that passed all checks. */
export interface CheckedRoute {
  readonly name: string
  readonly filter: Filter | undefined
  readonly handlers: readonly Handler[]
  readonly sink: string
  /** Set for a sink of the config file. */
  readonly own: { create: SinkFactory; options: Readonly<Record<string, unknown>>; shownAs: string } | undefined
  /** The configuration, with the options of the route applied. */
  readonly config: Config
}

/** The part of the config file that the checks need. */
interface Declared {
  /** Name of the file in messages. */
  readonly name: string
  readonly sinks: Readonly<Record<string, SinkFactory>>
  readonly routes: readonly Route[] | undefined
}

const NAME = /^[a-z0-9][a-z0-9_-]{0,63}$/
const OF_MILLRACE = /^[A-Z][A-Z0-9_]*$/

/**
 * The routes of the environment: every event through HANDLERS into each of SINKS. If the config file has routes, these
 * exist only if SINKS is set.
 * @throws MillraceError CONFIG_INVALID when HANDLERS is set but no route uses it.
 */
export function routesOfEnvironment({ SINKS, HANDLERS, origins }: Config, file: Declared): Route[] {
  if (file.routes === undefined || origins.SINKS !== 'default') {
    return SINKS.map((sink) => ({ name: sink, handlers: HANDLERS, sink }))
  }
  if (HANDLERS.length > 0) {
    const why = `${file.name} has routes, which name their own, and SINKS is not set`
    throw invalid(`HANDLERS: no event would go through them: ${why}. Leave HANDLERS out, or set SINKS as well`)
  }
  return []
}

/**
 * The routes of the environment, then those of the config file.
 * @param pick returns the handlers with the given names.
 * @throws MillraceError CONFIG_INVALID for an invalid route; its message names the route.
 */
export function checkRoutes(config: Config, file: Declared, pick: PickHandlers): CheckedRoute[] {
  const seen: Seen = { names: new Set(), directories: new Map() }
  const ofEnvironment = routesOfEnvironment(config, file).map((route) => {
    return within('', () => checkRoute(config, route, { sinks: {}, file: file.name, pick, seen, handlers: 'HANDLERS' }))
  })
  const ofFile = (file.routes ?? []).map((route, index) => {
    const which = typeof route.name === 'string' ? `route ${JSON.stringify(route.name)}` : `routes[${index}]`
    const options = { sinks: file.sinks, file: file.name, pick, seen, handlers: 'handlers' }
    return within(`${which} in ${file.name}: `, () => checkRoute(config, route, options))
  })
  return [...ofEnvironment, ...ofFile]
}

function within<T>(where: string, check: () => T): T {
  try {
    return check()
  } catch (error) {
    if (!(error instanceof MillraceError)) throw error
    throw new MillraceError(error.code, `${where}${error.message}`, { cause: error })
  }
}

/** Names and directories of the routes that are already checked. */
interface Seen {
  readonly names: Set<string>
  /** Directory of a file sink → name of the route. */
  readonly directories: Map<string, string>
}

interface CheckOptions {
  readonly sinks: Declared['sinks']
  /** Name of the config file in messages. */
  readonly file: string
  readonly pick: PickHandlers
  readonly seen: Seen
  /** The setting that names the handlers, for messages. */
  readonly handlers: string
}

function checkRoute(config: Config, route: Route, { sinks, file, pick, seen, ...of }: CheckOptions): CheckedRoute {
  checkShape(route)
  const { name, filter, handlers = [], sink, options = {} } = route
  if (seen.names.has(name)) throw invalid('there is another one with this name')
  seen.names.add(name)
  const create = Object.hasOwn(sinks, sink) ? sinks[sink] : undefined
  const builtIn = SINK_NAMES.find((one) => one === sink)
  if (create === undefined && builtIn === undefined) throw unknownSink(sink, Object.keys(sinks), file)
  checkTopic(config, name)
  if (sink === 'stdout' && builtIn && config.DELIVERY_THREAD) {
    throw invalid('the stdout sink writes from the main thread: leave DELIVERY_THREAD at false, or take another sink')
  }
  const names = Object.keys(options)
  if (builtIn) checkOptions(builtIn, names)
  else checkOwnOptions(sink, names)
  const variables = Object.fromEntries(Object.entries(options).filter(([option]) => OF_MILLRACE.test(option)))
  const others = Object.fromEntries(Object.entries(options).filter(([option]) => !OF_MILLRACE.test(option)))
  const own = withOptions(config, builtIn ? { ...variables, SINKS: [builtIn] } : variables)
  if (builtIn === 'file') checkDirectory(own.FILE_SINK_DIR, name, seen)
  return {
    ...{ name, filter, handlers: pick(handlers, own.HANDLER_TIMEOUT_MS, of.handlers), sink, config: own },
    own: create && { create, options: others, shownAs: `sink "${sink}" of ${file}, for route "${name}",` },
  }
}

/** Checks the types at run time, because a config file in JavaScript, or with a cast, may hold any value. */
function checkShape(route: Readonly<Record<string, unknown>> | Route): void {
  const odd = Object.keys(route).find((key) => !ROUTE_KEYS.includes(key))
  if (odd !== undefined) throw invalid(`there is no "${odd}" in a route: ${useOneOf(odd, ROUTE_KEYS)}`)
  const { name, filter, handlers = [], sink, options = {} } = route as Readonly<Record<string, unknown>>
  if (typeof name !== 'string') throw invalid("name: it is missing, or no text: write name: 'orders'")
  if (!NAME.test(name)) throw invalid('name: a name has 1 to 64 lower-case letters, digits, - and _')
  if (typeof sink !== 'string')
    throw invalid(`sink: it is missing, or no text: name a sink, such as ${SINK_NAMES.join(', ')}`)
  if (filter !== undefined && typeof filter !== 'function')
    throw invalid('filter: it must be a function (event) => boolean')
  if (!Array.isArray(handlers) || handlers.some((one) => typeof one !== 'string')) {
    throw invalid('handlers: it must be an array of names')
  }
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    throw invalid('options: it must be an object')
  }
}

function useOneOf(odd: string, known: readonly string[]): string {
  const near = nearestName(odd, known)
  return near === undefined ? `use ${known.join(', ')}` : `did you mean ${near}?`
}

function unknownSink(sink: string, own: readonly string[], file: string): MillraceError {
  const known = [...SINK_NAMES, ...own]
  const near = nearestName(sink, known)
  const advice = near === undefined ? `use ${known.join(', ')}, or add it to sinks of ${file}` : `did you mean ${near}?`
  return invalid(`sink: there is no ${JSON.stringify(sink)}: ${advice}`)
}

function checkTopic(config: Config, name: string): void {
  const topic = deadLetterTopic(config, name)
  if (config.LOG_ENGINE !== 'kafka' || topic.length <= MAX_TOPIC_LENGTH) return
  const what = `its dead letters would go to topic ${topic}, of ${topic.length} characters`
  throw invalid(`${what}, and Kafka takes ${MAX_TOPIC_LENGTH}: shorten KAFKA_TOPIC or the name of the route`)
}

function checkDirectory(directory: string, name: string, { directories }: Seen): void {
  const other = directories.get(resolve(directory))
  if (other !== undefined) throw invalid(`${other} writes to ${directory} already: give it a FILE_SINK_DIR`)
  directories.set(resolve(directory), name)
}

/** Refuses options that this sink does not use: they would be silently ignored. */
function checkOptions(sink: SinkName, options: readonly string[]): void {
  const own = `${sink.toUpperCase()}_SINK_`
  const known = [...Object.keys(VARIABLES).filter((name) => name.startsWith(own)), ...OF_EVERY_SINK]
  const odd = options.find((name) => !known.includes(name))
  if (odd !== undefined) throw invalid(`option ${odd} means nothing to a route into ${sink}: ${useOneOf(odd, known)}`)
}

/** Refuses unknown names in capitals: these are reserved for Millrace, so that a misspelt variable is found. */
function checkOwnOptions(sink: string, options: readonly string[]): void {
  const odd = options.find((name) => OF_MILLRACE.test(name) && !OF_EVERY_SINK.some((known) => known === name))
  if (odd === undefined) return
  const near = nearestName(odd, OF_EVERY_SINK)
  const use =
    near === undefined
      ? `in capitals use ${OF_EVERY_SINK.join(', ')}; options of your sink have other names`
      : `did you mean ${near}?`
  throw invalid(`option ${odd} means nothing to a route into ${sink}: ${use}`)
}

function invalid(problem: string): MillraceError {
  return new MillraceError('CONFIG_INVALID', problem)
}
