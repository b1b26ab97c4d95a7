/** Names of handlers → handlers, in that order, each with its time limit, on threads if there are any. */
import { nearestName } from '../edit-distance.ts'
import { MillraceError } from '../errors.ts'
import type { Handler, PickHandlers } from './handler.ts'
import type { HandlerThreads } from './threads.ts'
import { withTimeLimit } from './time-limit.ts'

/** What is needed of the config file. */
interface KnownHandlers {
  readonly path: string | undefined
  /** What messages call the file. */
  readonly name: string
  readonly handlers: Readonly<Record<string, Handler>>
}

/** @param threads default: handlers run where the requests are served. */
export function pickFrom(file: KnownHandlers, threads?: HandlerThreads): PickHandlers {
  return (names, timeoutMs, setting = 'HANDLERS') =>
    names.map((name) => {
      const handler = Object.hasOwn(file.handlers, name) ? file.handlers[name] : undefined
      if (handler) return threads?.handler(name, timeoutMs) ?? withTimeLimit(handler, timeoutMs, name)
      throw new MillraceError('CONFIG_INVALID', `${setting}: there is no handler "${name}" ${whereNot(file, name)}`)
    })
}

function whereNot({ path, name: file, handlers }: KnownHandlers, name: string): string {
  if (path === undefined) return `as there is no ${file} here: write one, or name one with --config`
  const known = Object.keys(handlers)
  if (known.length === 0) return `in ${file}, which has none: add it to handlers there`
  const near = nearestName(name, known)
  return `in ${file}, which has ${known.join(', ')}${near === undefined ? '' : `: did you mean ${near}?`}`
}

/** @param count 0: none. */
export async function startThreads(
  count: number,
  { path }: KnownHandlers,
  onWarning: (message: string) => void,
): Promise<HandlerThreads | undefined> {
  if (count === 0 || path === undefined) return undefined
  const { HandlerThreads } = await import('./threads.ts')
  return new HandlerThreads(count, path, onWarning)
}
