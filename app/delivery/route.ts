/** A route: some events, through handlers, into a sink. Declared in pipelines.ts, checked here at the start. */
import { resolve } from 'node:path'
import { type Config, VARIABLES, withOptions } from '../config.ts'
import { MillraceError } from '../errors.ts'
import type { Filter, Handler, PickHandlers } from '../handlers/handler.ts'
import { deadLetterTopic, MAX_TOPIC_LENGTH } from '../log/kafka/variables.ts'
import type { SinkName } from '../sinks/variables.ts'

export interface Route {
  /** Its offsets and dead letters are kept under it: under another name it begins at the oldest event there is. */
  readonly name: string
  /** Default: every event. */
  readonly filter?: Filter
  /** Names from handlers/index.ts, in order. Default: none. */
  readonly handlers?: readonly string[]
  readonly sink: SinkName
  /** Variables that are different for this route: those of its sink, of retries and of handlers. */
  readonly options?: Partial<Pick<Config, RouteVariable>>
}

/** What a delivery reads of its own configuration. */
const OF_EVERY_SINK = [
  'RETRY_BASE_MS',
  'RETRY_MAX_MS',
  'RETRY_MAX_ATTEMPTS',
  'HANDLER_CONCURRENCY',
  'HANDLER_TIMEOUT_MS',
  'DEAD_LETTER_MAX_BYTES',
] as const
export type RouteVariable = (typeof OF_EVERY_SINK)[number] | Extract<keyof Config, `${string}_SINK_${string}`>

const ROUTE_KEYS = new Set(['name', 'filter', 'handlers', 'sink', 'options'])
/** A route that can run. */
export interface CheckedRoute {
  readonly name: string
  readonly filter: Filter | undefined
  readonly handlers: readonly Handler[]
  readonly sink: SinkName
  /** With the options of the route. */
  readonly config: Config
}

const NAME = /^[a-z0-9][a-z0-9_-]{0,63}$/

/**
 * @param pick gives the handlers that have these names.
 * @throws MillraceError CONFIG_INVALID when a route cannot be, naming it.
 */
export function checkRoutes(config: Config, declared: readonly Route[], pick: PickHandlers): CheckedRoute[] {
  const names = new Set<string>()
  const directories = new Map<string, string>()
  return declared.map((route) => {
    const { name, filter, handlers = [], sink, options = {} } = route
    try {
      const odd = Object.keys(route).find((key) => !ROUTE_KEYS.has(key))
      if (odd !== undefined) throw invalid(`there is no "${odd}" in a route: use ${[...ROUTE_KEYS].join(', ')}`)
      if (!NAME.test(name)) throw invalid('a name has 1 to 64 lower-case letters, digits, - and _')
      if (names.has(name)) throw invalid('there is another one with this name')
      names.add(name)
      checkOptions(sink, Object.keys(options))
      const topic = deadLetterTopic(config, name)
      if (config.LOG_ENGINE === 'kafka' && topic.length > MAX_TOPIC_LENGTH) {
        const what = `its dead letters would go to topic ${topic}, of ${topic.length} characters`
        throw invalid(`${what}, and Kafka takes ${MAX_TOPIC_LENGTH}: shorten KAFKA_TOPIC or the name of the route`)
      }
      const own = withOptions(config, { ...options, SINKS: [sink] })
      const { FILE_SINK_DIR: directory } = own
      if (sink === 'file') {
        const other = directories.get(resolve(directory))
        if (other !== undefined) throw invalid(`${other} writes to ${directory} already: give it a FILE_SINK_DIR`)
        directories.set(resolve(directory), name)
      }
      return { name, filter, handlers: pick(handlers, own.HANDLER_TIMEOUT_MS), sink, config: own }
    } catch (error) {
      if (!(error instanceof MillraceError)) throw error
      const where = name === sink && Object.keys(options).length === 0 ? '' : `route "${name}" in app/pipelines.ts: `
      throw new MillraceError(error.code, `${where}${error.message}`, { cause: error })
    }
  })
}

/** What means nothing to a route would be left out without a word. */
function checkOptions(sink: SinkName, options: readonly string[]): void {
  const own = `${sink.toUpperCase()}_SINK_`
  const known = [...Object.keys(VARIABLES).filter((name) => name.startsWith(own)), ...OF_EVERY_SINK]
  const odd = options.find((name) => !known.includes(name))
  if (odd !== undefined) throw invalid(`option ${odd} means nothing to a route into ${sink}: use ${known.join(', ')}`)
}

function invalid(problem: string): MillraceError {
  return new MillraceError('CONFIG_INVALID', problem)
}
