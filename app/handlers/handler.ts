/**
 * A handler: the user's function, in `handlers` of the config file. A route names the handlers of its events, in order.
 */
import type { Event } from '../event.ts'

/** @public */
export interface HandlerContext {
  /** 1 for the first attempt. A handler may see an event again after a crash or a failed sink. */
  readonly attempt: number
  /** Name of the sink that gets the result. */
  readonly sink: string
  /** Aborted when the call has taken longer than HANDLER_TIMEOUT_MS, or the process stops. */
  readonly signal: AbortSignal
}

type Result<Data> = Event<Data> | readonly Event<Data>[] | undefined

/**
 * Returns the event, a changed one, several, or undefined to drop it; may be async. A throw, or a call that takes
 * longer than HANDLER_TIMEOUT_MS, is retried with backoff and becomes a dead letter with the stack after
 * RETRY_MAX_ATTEMPTS.
 *
 * `In` and `Out` are the types of `data`. A handler that expects more than `unknown` fits only events of some types:
 * see {@link onType}.
 */
export type Handler<In = unknown, Out = unknown> = (
  event: Event<In>,
  context: HandlerContext,
) => Result<Out> | Promise<Result<Out>>

/**
 * Whether a route accepts an event. Must always give the same answer. If it throws, the event becomes a dead letter.
 */
export interface Filter {
  (event: Event): boolean
  /** Set for a filter that uses only the type: then events are not parsed for it. */
  readonly acceptsType?: (type: string) => boolean
}

/**
 * A filter for events whose `type` matches one of these patterns.
 * @param patterns types, in which `*` matches any characters: `order.*`.
 * @throws TypeError without any pattern: no event would match.
 * @public
 */
export function ofType(...patterns: readonly string[]): Filter {
  if (patterns.length === 0) throw new TypeError("ofType() would take no event: name a type, such as ofType('order.*')")
  const literal = (text: string) => text.replaceAll(/[\\^$.|?+()[\]{}]/g, '\\$&')
  const alternatives = patterns.map((pattern) => pattern.split('*').map(literal).join('.*'))
  const matcher = new RegExp(`^(?:${alternatives.join('|')})$`, 's')
  const acceptsType = (type: string) => matcher.test(type)
  return Object.assign(({ type }: Event) => acceptsType(type), { acceptsType })
}

/**
 * A handler for events whose `type` matches. Other events pass unchanged.
 * @param pattern a type, in which `*` matches any characters: `order.*`.
 * @param handler may declare the type of `data`; it is not checked.
 * @public
 */
export function onType<In, Out = In>(pattern: string, handler: Handler<In, Out>): Handler {
  const matches = ofType(pattern)
  const chosen: Handler = (event, context) => (matches(event) ? handler(event as Event<In>, context) : event)
  return Object.defineProperty(chosen, 'name', { value: handler.name || `for ${pattern}` })
}

/**
 * Returns the handlers with these names.
 * @param setting the setting that names them, for the error. Default: HANDLERS.
 * @throws MillraceError CONFIG_INVALID when a handler is not in the config file.
 */
export type PickHandlers = (names: readonly string[], timeoutMs: number, setting?: string) => Handler[]
