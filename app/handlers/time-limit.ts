/** A time limit for each call of a handler. */
import type { Handler, HandlerContext } from './handler.ts'

type Result = Awaited<ReturnType<Handler>>

/**
 * A handler cannot be stopped from outside: past its time, or when the process stops, its signal is aborted and nobody
 * waits for it any more. One that never gives the event loop back cannot be noticed at all, except on a thread.
 * @param name of the handler, for the error.
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
    reject(error) // first: what the abort makes of the call is not the reason
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
