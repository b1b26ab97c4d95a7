/** Default callbacks that write to the console: no loss stays silent, and the console is not flooded. */
import type { ClientOptions } from './options.ts'

/** Frequent notices are written at most once in this time. */
const QUIET_MS = 10_000

type Callbacks = Required<Pick<ClientOptions, 'onDropped' | 'onRejected' | 'onStoreFailure'>>

/** The defaults of one client. */
export function onConsole(): Callbacks {
  const say = (text: string) => console.error(`millrace/client: ${text}`)
  const sayDropped = summed((events, reason) => say(`${events} events dropped: ${reason}`))
  const sayRejected = summed((events, reason) => say(`${events} events rejected: ${reason}`))
  const sayFailed = summed((failures, reason) =>
    say(`the store failed ${failures} times, events stay in memory: ${reason}`),
  )
  return {
    onDropped: ({ length }, reason) => sayDropped(length, reason),
    onRejected: ({ length }, { status, title, detail = title }) => sayRejected(length, `${status}: ${detail}`),
    onStoreFailure: (error) => sayFailed(1, error instanceof Error ? error.message : String(error)),
  }
}

/** Writes the first notice at once, and sums later ones up in the next line. */
function summed(say: (count: number, reason: string) => void): (count: number, reason: string) => void {
  let unsaid = 0
  let saidAtMs = Number.NEGATIVE_INFINITY
  return (count, reason) => {
    unsaid += count
    if (performance.now() - saidAtMs < QUIET_MS) return
    saidAtMs = performance.now()
    say(unsaid, reason)
    unsaid = 0
  }
}
