/** The code of a thread of {@link HandlerThreads}: runs one handler with one event at a time. */
import { workerData } from 'piscina'
import { loadConfigFile } from '../config-file/load.ts'
import type { Call } from './threads.ts'

const { handlers, name: file } = await loadConfigFile({ named: workerData as string })
/** Never aborted: a call that takes too long ends with its thread. */
const { signal } = new AbortController()

export default function run({ name, event, context }: Call) {
  const handler = Object.hasOwn(handlers, name) ? handlers[name] : undefined
  // The file was changed since the start. Going on without the handler would drop the event.
  if (handler === undefined) throw new Error(`handler ${name} is not in ${file} any more: start the service again`)
  return handler(event, { ...context, signal })
}
