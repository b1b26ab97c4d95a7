/** A route: some events, through handlers, into a sink. Declared in pipelines.ts, checked here at the start. */
import { resolve } from 'node:path'
import { type Config, type SinkName, withOptions } from './config.ts'
import { MillraceError } from './errors.ts'
import type { Filter, Handler } from './handlers/handler.ts'
import type { PickHandlers } from './handlers/pick.ts'
import { pipelines } from './pipelines.ts'

export interface Route {
  /** Its offsets and dead letters are kept under it: under another name it begins at the oldest event there is. */
  readonly name: string
  /** Default: every event. */
  readonly filter?: Filter
  /** Names from handlers/index.ts, in order. Default: none. */
  readonly handlers?: readonly string[]
  readonly sink: SinkName
  /** Variables that are different for this route. */
  readonly options?: Partial<Config>
}

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
export function checkRoutes(
  config: Config,
  pick: PickHandlers,
  declared: readonly Route[] = pipelines(config),
): CheckedRoute[] {
  const names = new Set<string>()
  const directories = new Map<string, string>()
  return declared.map(({ name, filter, handlers = [], sink, options = {} }) => {
    try {
      if (!NAME.test(name)) throw invalid('a name has 1 to 64 lower-case letters, digits, - and _')
      if (names.has(name)) throw invalid('there is another one with this name')
      names.add(name)
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

/** Whether standard output belongs to events: then nothing else is printed there. */
export function writesToStdout(config: Config): boolean {
  return config.ROLE !== 'ingest' && pipelines(config).some(({ sink }) => sink === 'stdout')
}

function invalid(problem: string): MillraceError {
  return new MillraceError('CONFIG_INVALID', problem)
}
