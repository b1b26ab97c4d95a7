/** One delivery a route, each with its own offset in the log and its own dead letters: on the main thread, or on one of theirs. */
import { backoffMs } from './delivery/backoff.ts'
import { Delivery } from './delivery/delivery.ts'
import type { CheckedRoute } from './delivery/route.ts'
import type { Log, LogObserver } from './log/log.ts'
import { openDeadLetters } from './log/open.ts'
import { openSink } from './sinks/open.ts'

/** What the log says of itself, and a sink that only a restart helps. */
export type Observer = Required<LogObserver> & { readonly onSinkFailure: (error: Error) => void }

export async function startDeliveries(
  routes: readonly CheckedRoute[],
  log: Pick<Log, 'consumer'>,
  observer: Observer,
): Promise<Delivery[]> {
  const deliveries: Delivery[] = []
  for (const route of routes) deliveries.push(await openDelivery(route, log, observer))
  // Once the log knows all that it is read by: it deletes what those have settled.
  for (const delivery of deliveries) delivery.start()
  return deliveries
}

async function openDelivery(route: CheckedRoute, log: Pick<Log, 'consumer'>, observer: Observer): Promise<Delivery> {
  const { name, filter, handlers, config } = route
  // Syncs of dead letters are not what the metrics of the log are about.
  const deadLetterObserver = { ...observer, onSync: () => undefined }
  const { onWarning, onSinkFailure: onFailure } = observer
  const retry = { baseMs: config.RETRY_BASE_MS, maxMs: config.RETRY_MAX_MS, maxAttempts: config.RETRY_MAX_ATTEMPTS }
  const ofSink = { name, backoffMs: (attempt: number) => backoffMs(attempt, retry), onWarning, onFailure }
  return Delivery.open({
    ...{ name, log, filter, handlers, retry, onWarning },
    sink: await openSink(route, ofSink),
    deadLetterLog: await openDeadLetters(config, name, deadLetterObserver),
    handlerConcurrency: config.HANDLER_CONCURRENCY,
    laneBytes: 2 * Math.max(config.MAX_BODY_BYTES, config.GROUP_MAX_BYTES),
  })
}
