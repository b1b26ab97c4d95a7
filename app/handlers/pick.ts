/** Finds handlers by name, in the given order, each with its time limit, and on threads if there are any. */
import { nearestName } from '../edit-distance.ts'
import { MillraceError } from '../errors.ts'
import type { Handler, PickHandlers } from './handler.ts'
import type { HandlerThreads } from './threads.ts'
import { withTimeLimit } from './time-limit.ts'

/** The part of the config file that is needed here. */
interface KnownHandlers {
  readonly path: string | undefined
  /** Name of the file in messages. */
  readonly name: string
  readonly handlers: Readonly<Record<string, Handler>>
}

/** @param threads default: handlers run in the thread that serves requests. */
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

/** @param count 0: no threads. */
export async function startThreads(
  count: number,
  { path }: KnownHandlers,
  onWarning: (message: string) => void,
): Promise<HandlerThreads | undefined> {
  if (count === 0 || path === undefined) return undefined
  const { HandlerThreads } = await import('./threads.ts')
  return new HandlerThreads(count, path, onWarning)
}
