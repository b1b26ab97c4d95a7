/** What runs on a thread of {@link HandlerThreads}: one handler, one event at a time. */
import { handlers } from './index.ts'
import type { Call } from './threads.ts'

/** Never aborted: what takes too long ends with its thread. */
const { signal } = new AbortController()

export default function run({ name, event, context }: Call) {
  return handlers[name]?.(event, { ...context, signal })
}
