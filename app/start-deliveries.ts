/** One delivery for each route, each with its own offset in the log and its own dead letters. */
import { backoffMs } from './delivery/backoff.ts'
import { Delivery } from './delivery/delivery.ts'
import type { CheckedRoute } from './delivery/route.ts'
import type { Log, LogObserver } from './log/log.ts'
import { openDeadLetters } from './log/open.ts'
import { openSink } from './sinks/open.ts'

/** Observes the log, and a sink that only a restart can fix. */
export type Observer = Required<LogObserver> & { readonly onSinkFailure: (error: Error) => void }

export async function startDeliveries(
  routes: readonly CheckedRoute[],
  log: Pick<Log, 'consumer'>,
  observer: Observer,
): Promise<Delivery[]> {
  const deliveries: Delivery[] = []
  for (const route of routes) deliveries.push(await openDelivery(route, log, observer))
  // Start only after every consumer is registered, because the log deletes segments that all of them have settled.
  for (const delivery of deliveries) delivery.start()
  return deliveries
}

async function openDelivery(route: CheckedRoute, log: Pick<Log, 'consumer'>, observer: Observer): Promise<Delivery> {
  const { name, filter, handlers, config } = route
  // The metrics of the log do not include syncs of dead letters.
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
