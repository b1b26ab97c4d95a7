/** A handler: the user's function, in `handlers` of the config file. Events pass through those that a route names, in order. */
import type { Event } from '../event.ts'

/** @public */
export interface HandlerContext {
  /** 1 for the first attempt. A handler may see an event again after a crash or a failed sink. */
  readonly attempt: number
  /** Which sink the result goes to. */
  readonly sink: string
  /** Aborted when the call has taken longer than HANDLER_TIMEOUT_MS, or the process stops. */
  readonly signal: AbortSignal
}

type Result<Data> = Event<Data> | readonly Event<Data>[] | undefined

/**
 * Returns the event, a changed one, several, or undefined to drop it; may be async. A throw, or a call that takes longer
 * than HANDLER_TIMEOUT_MS, is retried with backoff and becomes a dead letter with the stack after RETRY_MAX_ATTEMPTS.
 *
 * `In` and `Out` are what `data` is; a handler that expects more than `unknown` is for events of some types: see
 * {@link onType}.
 */
export type Handler<In = unknown, Out = unknown> = (
  event: Event<In>,
  context: HandlerContext,
) => Result<Out> | Promise<Result<Out>>

/** Whether a route takes an event. Must answer the same whenever it is asked. A throw makes the event a dead letter. */
export interface Filter {
  (event: Event): boolean
  /** Of a filter that looks at nothing but the type: then no event is parsed for it. */
  readonly acceptsType?: (type: string) => boolean
}

/**
 * The events whose `type` matches one of these.
 * @param patterns types, in which `*` stands for any characters: `order.*`.
 * @public
 */
export function ofType(...patterns: readonly string[]): Filter {
  const literal = (text: string) => text.replaceAll(/[\\^$.|?+()[\]{}]/g, '\\$&')
  const alternatives = patterns.map((pattern) => pattern.split('*').map(literal).join('.*'))
  const matcher = new RegExp(`^(?:${alternatives.join('|')})$`, 's')
  const acceptsType = (type: string) => matcher.test(type)
  return Object.assign(({ type }: Event) => acceptsType(type), { acceptsType })
}

/**
 * A handler for the events whose `type` matches; others pass as they are.
 * @param pattern a type, in which `*` stands for any characters: `order.*`.
 * @param handler may say what `data` of these events is; nobody checks it.
 * @public
 */
export function onType<In, Out = In>(pattern: string, handler: Handler<In, Out>): Handler {
  const matches = ofType(pattern)
  const chosen: Handler = (event, context) => (matches(event) ? handler(event as Event<In>, context) : event)
  return Object.defineProperty(chosen, 'name', { value: handler.name || `for ${pattern}` })
}

/**
 * Gives the handlers that have these names.
 * @param setting that names them, for the error. Default: HANDLERS.
 * @throws MillraceError CONFIG_INVALID when one is not in the config file.
 */
export type PickHandlers = (names: readonly string[], timeoutMs: number, setting?: string) => Handler[]
