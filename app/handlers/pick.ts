/** Names in `HANDLERS` → handlers, in that order. */
import { MillraceError } from '../errors.ts'
import type { Handler } from './handler.ts'
import { handlers as known } from './index.ts'

/** @throws MillraceError CONFIG_INVALID when one is not in app/handlers/index.ts. */
export function pickHandlers(names: readonly string[]): Handler[] {
  return names.map((name) => {
    const handler = Object.hasOwn(known, name) ? known[name] : undefined
    if (handler) return handler
    const listed = Object.keys(known).join(', ')
    throw new MillraceError(
      'CONFIG_INVALID',
      `HANDLERS: there is no handler "${name}" in app/handlers/index.ts, which has ${listed}`,
    )
  })
}
