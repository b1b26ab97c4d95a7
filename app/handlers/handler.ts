/** A handler: the user's function. Every event passes through the handlers named in `HANDLERS`, in order. */
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

type Result = Event | readonly Event[] | undefined

/**
 * Returns the event, a changed one, several, or undefined to drop it; may be async. A throw, or a call that takes longer
 * than HANDLER_TIMEOUT_MS, is retried with backoff and becomes a dead letter with the stack after RETRY_MAX_ATTEMPTS.
 */
export type Handler = (event: Event, context: HandlerContext) => Result | Promise<Result>
