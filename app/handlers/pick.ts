/** Names in `HANDLERS` → handlers, in that order, each with its time limit, on threads if there are any. */
import { MillraceError } from '../errors.ts'
import type { PickHandlers } from './handler.ts'
import { handlers as known } from './index.ts'
import type { HandlerThreads } from './threads.ts'
import { withTimeLimit } from './time-limit.ts'

/** @param threads default: handlers run where the requests are served. */
export function pickFrom(threads?: HandlerThreads): PickHandlers {
  return (names, timeoutMs) =>
    names.map((name) => {
      const handler = Object.hasOwn(known, name) ? known[name] : undefined
      if (handler) return threads?.handler(name, timeoutMs) ?? withTimeLimit(handler, timeoutMs)
      const listed = Object.keys(known).join(', ')
      throw new MillraceError(
        'CONFIG_INVALID',
        `HANDLERS: there is no handler "${name}" in app/handlers/index.ts, which has ${listed}`,
      )
    })
}

/** @param count 0: none. */
export async function startThreads(
  count: number,
  onWarning: (message: string) => void,
): Promise<HandlerThreads | undefined> {
  if (count === 0) return undefined
  const { HandlerThreads } = await import('./threads.ts')
  return new HandlerThreads(count, onWarning)
}
