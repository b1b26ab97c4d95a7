/** Variables of delivery: handlers and retries. */
import { flag, integer, invalid, names, SECOND_MS, type ValuesOf } from '../variable.ts'

export const DELIVERY_VARIABLES = {
  HANDLERS: names(
    'Names of handlers in the config file that every event passes through, in order, on its way to `SINKS`.',
  ),
  HANDLER_CONCURRENCY: integer(
    1,
    10_000,
    16,
    'Handlers that may run at the same time in one lane of a sink; never two for events with the same key.',
  ),
  HANDLER_TIMEOUT_MS: integer(
    1,
    60 * 60 * SECOND_MS,
    30 * SECOND_MS,
    'Time limit of one call of a handler; after it, the call has failed and is retried like any other failure.',
  ),
  HANDLER_THREADS: integer(
    0,
    64,
    0,
    'Worker threads for handlers that keep a CPU busy; 0: handlers run in the thread that serves requests.',
  ),
  DELIVERY_THREAD: flag(
    false,
    'Delivers on a thread of its own: sinks and handlers then take no time from requests. About 17 MB; not with Kafka, nor into `stdout`.',
  ),
  RETRY_BASE_MS: integer(
    1,
    60 * SECOND_MS,
    100,
    'Upper bound of the first delay before a retry; it doubles each time (full jitter).',
  ),
  RETRY_MAX_MS: integer(1, 60 * 60 * SECOND_MS, 30 * SECOND_MS, 'Upper bound of every delay before a retry.'),
  RETRY_MAX_ATTEMPTS: integer(
    1,
    1000,
    10,
    'Attempts for an event on which a handler or sink fails; then it becomes a dead letter. An unreachable sink is retried without limit.',
  ),
}

export function checkDelivery(config: ValuesOf<typeof DELIVERY_VARIABLES> & { readonly LOG_ENGINE: string }): void {
  if (!config.DELIVERY_THREAD || config.LOG_ENGINE === 'embedded') return
  throw invalid(
    'DELIVERY_THREAD',
    'a thread can read only the embedded log: around Kafka, deliver in a process of its own, with ROLE=deliver',
  )
}
