/**
 * The thread of delivery; delivery-thread.ts is its other side. It reads the log itself, and has what the main thread has
 * without it: routes, handlers, sinks, dead letters.
 *
 *     log files ─read─▶ Delivery (one a route) ─▶ handlers ─▶ Sink
 *         ▲                 │ settled: to the main thread, which makes progress durable
 *         └─ how far? ──────┘
 */
import { parentPort, workerData } from 'node:worker_threads'
import { loadConfigFile, NO_CONFIG_FILE } from '../config-file/load.ts'
import type { Delivery } from '../delivery/delivery.ts'
import { checkRoutes } from '../delivery/route.ts'
import { pickFrom, startThreads } from '../handlers/pick.ts'
import { openSharedLog } from '../log/open.ts'
import { pack } from '../sent-error.ts'
import { type Observer, startDeliveries } from '../start-deliveries.ts'
import { type Call, type FromThread, type Request, stateOf, type ThreadStart, type ToThread } from './messages.ts'

/** How often changed states are posted to the main thread. */
const STATE_EVERY_MS = 200

const { config, configPath, log: shared } = workerData as ThreadStart
const observer: Observer = {
  onSync: () => undefined,
  onDamage: (damage) => post({ kind: 'damage', damage }),
  onWarning: (message) => post({ kind: 'warning', message }),
  onFailure: (error) => post({ kind: 'logFailed', error: pack(error) }),
  onSinkFailure: (error) => post({ kind: 'sinkFailed', error: pack(error) }),
}
const log = openSharedLog(shared)
/** The states that the main thread has. */
const posted = new Map<string, string>()
const started = start()
let stateTimer: NodeJS.Timeout | undefined

started.then(
  ({ deliveries }) => {
    post({ kind: 'opened', states: new Map(deliveries.map((delivery) => [delivery.sink, stateOf(delivery)])) })
    stateTimer = setInterval(() => deliveries.forEach(postState), STATE_EVERY_MS)
  },
  (error) => post({ kind: 'refused', error: pack(error) }),
)

parentPort?.on('message', (message: ToThread) => {
  if (message.kind === 'call') void answer(message)
  else void end()
})

async function start() {
  const file = configPath === undefined ? NO_CONFIG_FILE : await loadConfigFile({ named: configPath })
  const handlers = await startThreads(config.HANDLER_THREADS, file, observer.onWarning)
  const routes = checkRoutes(config, file, pickFrom(file, handlers))
  return { deliveries: await startDeliveries(routes, log, observer), handlers }
}

async function answer({ id, sink, request }: Call): Promise<void> {
  try {
    const { deliveries } = await started
    const delivery = deliveries.find((one) => one.sink === sink)
    if (delivery === undefined) throw new Error(`no sink ${sink} is on this thread`)
    const value = await call(delivery, request)
    postState(delivery)
    post({ kind: 'answer', id, value })
  } catch (error) {
    post({ kind: 'failed', id, error: pack(error) })
  }
}

async function call(delivery: Delivery, request: Request): Promise<unknown> {
  switch (request.method) {
    case 'deadLetters':
      return (await delivery.deadLetters(request.limit)).map(({ text }) => ({ text }))
    case 'replay':
      return delivery.replay()
    case 'close':
      await log.untilDurable(request.endOffset)
      return delivery.close(request.drainMs)
  }
}

/** When all deliveries are closed. */
async function end(): Promise<void> {
  clearInterval(stateTimer)
  const { handlers } = await started
  await handlers?.close()
  await log.close()
  post({ kind: 'ended' })
}

function postState(delivery: Delivery): void {
  const state = stateOf(delivery)
  const text = JSON.stringify({ ...state, attempts: [...state.attempts] })
  if (text === posted.get(delivery.sink)) return
  posted.set(delivery.sink, text)
  post({ kind: 'state', sink: delivery.sink, state })
}

function post(message: FromThread): void {
  parentPort?.postMessage(message)
}
