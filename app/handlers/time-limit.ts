/** A time limit for each call of a handler. */
import type { Handler, HandlerContext } from './handler.ts'

type Result = Awaited<ReturnType<Handler>>

/**
 * A handler cannot be stopped from outside. After its time limit, or when the process stops, its signal is aborted and
 * its result is ignored. A handler that never yields to the event loop can be stopped only on a thread.
 * @param name name of the handler, for the error.
 */
export function withTimeLimit(handler: Handler, timeoutMs: number, name: string = handler.name): Handler {
  return (event, context) => {
    const own = new AbortController()
    const result = handler(event, { ...context, signal: own.signal })
    if (!(result instanceof Promise)) return result
    const abort = (reason: Error) => own.abort(reason)
    return inTime(result, abort, context, `handler ${name} took longer than ${timeoutMs} ms`, timeoutMs)
  }
}

async function inTime(
  result: Promise<Result>,
  abort: (reason: Error) => void,
  { signal }: HandlerContext,
  late: string,
  timeoutMs: number,
): Promise<Result> {
  const { promise: given, reject } = Promise.withResolvers<never>()
  const fail = (reason: string) => {
    const error = new Error(reason)
    reject(error) // first, so that the timeout is the reason, and not an error caused by the abort
    abort(error)
  }
  const stop = () => fail('the process stops')
  const timer = setTimeout(() => fail(late), timeoutMs)
  signal.addEventListener('abort', stop)
  try {
    return await Promise.race([result, given])
  } finally {
    clearTimeout(timer)
    signal.removeEventListener('abort', stop)
  }
}
