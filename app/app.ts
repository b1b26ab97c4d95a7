/**
 * The whole pipeline on one screen. With engine.ts, which picks the log, the only place that picks implementations.
 *
 *     HTTP ─▶ Sender ═ channel ═▶ Receiver ─▶ group commit ─▶ Log ─▶ Delivery (one a route) ─▶ handlers ─▶ Sink
 *       ▲                                          │
 *       └──────────── 202 once durable ◀───────────┘
 *
 * ROLE=ingest is the part before the Log, ROLE=deliver the part after it.
 */
import type { FastifyBaseLogger } from 'fastify'
import packageJson from '../package.json' with { type: 'json' }
import { createAdmin } from './admin/server.ts'
import { channel } from './channel/channel.ts'
import { publishToCloudWatch } from './cloudwatch.ts'
import type { Config } from './config.ts'
import { backoffMs } from './delivery/backoff.ts'
import { Delivery } from './delivery/delivery.ts'
import { checkDirectories } from './directories.ts'
import { openDeadLetters, openLog, openWindow } from './engine.ts'
import { pickFrom, startThreads } from './handlers/pick.ts'
import { createServer } from './http/server.ts'
import { HttpThreads } from './http/threads.ts'
import { listen } from './listen.ts'
import { groupCommit } from './log/group-commit.ts'
import type { Log, LogObserver } from './log/log.ts'
import { Metrics } from './metrics.ts'
import { type CheckedRoute, checkRoutes, writesToStdout } from './route.ts'
import { filesOf, openSink } from './sinks/open.ts'
import type { Tracing } from './telemetry.ts'
import type { Write } from './write.ts'

const { version } = packageJson

export interface App {
  /** Addresses that it listens on, `http://host:port`; events are taken at the first, except with ROLE=deliver. */
  readonly url: string | undefined
  readonly adminUrl: string
  /**
   * Stops in order: see the drain in `close`. Resolves to whether everything that was begun was finished.
   * @param drainMs how long sinks may go on. Default: SHUTDOWN_DRAIN_MS.
   */
  close(graceMs: number, drainMs?: number): Promise<boolean>
}

/**
 * Starts everything and listens.
 * @param onFailure called once when the log failed for good and only a restart helps.
 * @param parts.metrics others than the service's own, for measuring what those cost.
 * @param parts.tracing default: none.
 * @throws MillraceError whose message says what is wrong and what to do.
 */
export async function startApp(
  config: Config,
  logger: FastifyBaseLogger,
  onFailure: (error: Error) => void,
  parts: { readonly metrics?: Pick<Metrics, keyof Metrics>; readonly tracing?: Tracing | undefined } = {},
): Promise<App> {
  const { ROLE: role } = config
  // Beside Kafka a process keeps nothing on disk.
  const directory = config.LOG_ENGINE === 'embedded' ? config.DATA_DIR : undefined
  const { metrics = new Metrics(directory, version, role), tracing } = parts
  const observer = observe(logger, metrics, onFailure)
  const handlerThreads = await startThreads(role === 'ingest' ? 0 : config.HANDLER_THREADS, observer.onWarning)
  const routes = role === 'ingest' ? [] : checkRoutes(config, pickFrom(handlerThreads))
  await checkDirectories(config, routes)
  const log = await openLog(config, observer)
  metrics.restore(log.committedEvents)
  const window = await openWindow(config, log)

  const { sender, receiver } = channel<Write>(config.CHANNEL_CAPACITY_EVENTS, {
    slots: (write) => write.count,
    bytes: (write) => write.payload.length,
    maxBytes: config.CHANNEL_CAPACITY_BYTES,
  })
  const committing = groupCommit(receiver, log, {
    maxGroupBytes: config.GROUP_MAX_BYTES,
    lingerMs: config.GROUP_LINGER_MS,
    window,
  })

  const deliveries: Delivery[] = []
  for (const route of routes) deliveries.push(await openDelivery(route, log, observer, onFailure))
  // Once the log knows all that it is read by: it deletes what those have settled.
  for (const delivery of deliveries) delivery.start()
  for (const name of log.idleConsumers) logger.warn(`sink ${name} is not used: what it has not taken may be deleted`)

  let url: string | undefined
  let phase: 'serving' | 'grace' | 'draining' = 'serving'
  const notReady = () => (phase === 'serving' ? log.failure?.message : 'shutting down')
  const isDraining = () => phase === 'draining'
  const counts = metrics.ingest
  const { keyed } = log
  const filesOfSinks = routes.reduce((sum, { sink, config: own }) => sum + filesOf(sink, own), 0)
  const deduplicates = window !== undefined
  const options = {
    config,
    logger,
    sender,
    keyed,
    deduplicates,
    counts,
    filesOfSinks,
    version,
    notReady,
    isDraining,
    tracing,
  }
  const threads = role !== 'deliver' && config.WORKERS > 1 ? new HttpThreads(options) : undefined
  const server = role === 'deliver' ? undefined : (threads ?? (await createServer(options)))

  const { CHANNEL_CAPACITY_EVENTS: capacityEvents, CHANNEL_CAPACITY_BYTES: capacityBytes } = config
  const view = { channel: receiver, threads, capacityEvents, capacityBytes, log, deliveries }
  metrics.observe(view)
  const stopPublishing = publishToCloudWatch({
    intervalMs: config.CLOUDWATCH_INTERVAL_MS,
    environment: config.ENVIRONMENT,
    role,
    read: () => ({
      saturation: metrics.saturation(view),
      lagEvents: Math.max(0, ...deliveries.map((delivery) => delivery.waitingEvents)),
    }),
    write: (line) => (writesToStdout(config) ? process.stderr : process.stdout).write(line),
  })

  const delivery = (sink: string) => deliveries.find((one) => one.sink === sink)
  const admin = createAdmin({
    logger,
    host: config.ADMIN_HOST,
    notReady,
    scrape: () => metrics.scrape(),
    live: {
      source: { version, role, metrics, view },
      url: () => url,
      needsKey: config.apiKeys.size > 0,
    },
    token: config.ADMIN_TOKEN,
    status: () => ({ name: 'millrace', version, role, sinks: deliveries.map(describe) }),
    sinks: routes.map(({ name }) => name),
    deadLetters: async (sink, limit) => (await delivery(sink)?.deadLetters(limit)) ?? [],
    replay: async (sink) => delivery(sink)?.replay(),
  })
  if (server) url = await listen(server, config.HOST, config.PORT, '')
  const adminUrl = await listen(admin, config.ADMIN_HOST, config.ADMIN_PORT, 'ADMIN_')

  const close = async (graceMs: number, drainMs = config.SHUTDOWN_DRAIN_MS) => {
    phase = 'grace' // readiness fails: load balancers look elsewhere while requests are still served
    await new Promise((resolve) => setTimeout(resolve, graceMs))
    phase = 'draining'
    await server?.close() // no new connections; requests in hand are answered
    sender.close()
    await committing
    const finished = await Promise.all(deliveries.map((delivery) => delivery.close(drainMs)))
    await handlerThreads?.close()
    stopPublishing()
    await admin.close()
    await log.close()
    metrics.close()
    await tracing?.stop()
    return finished.every(Boolean) && metrics.ingest.inFlightTotal === 0
  }
  return { url, adminUrl, close }
}

function observe(
  logger: FastifyBaseLogger,
  metrics: Pick<Metrics, 'synced' | 'damaged' | 'logFailed'>,
  onFailure: (error: Error) => void,
): Required<LogObserver> {
  return {
    onSync: (durationMs, groupEvents) => metrics.synced(durationMs, groupEvents),
    onDamage: (damage) => {
      metrics.damaged()
      logger.warn({ damage }, 'the log is damaged here, and what is behind it is read: damage.reason says why')
    },
    onWarning: (message) => logger.warn(message),
    onFailure: (error) => {
      metrics.logFailed()
      onFailure(error)
    },
  }
}

/** One route into a sink, with its own offset in the log and its own dead letters. */
async function openDelivery(
  { name, filter, handlers, sink, config }: CheckedRoute,
  log: Log,
  observer: Required<LogObserver>,
  onFailure: (error: Error) => void,
): Promise<Delivery> {
  // Syncs of dead letters are not what the metrics of the log are about.
  const deadLetterObserver = { ...observer, onSync: () => undefined }
  const { onWarning } = observer
  const retry = { baseMs: config.RETRY_BASE_MS, maxMs: config.RETRY_MAX_MS, maxAttempts: config.RETRY_MAX_ATTEMPTS }
  return Delivery.open({
    name,
    log,
    sink: await openSink(sink, config, {
      name,
      backoffMs: (attempt) => backoffMs(attempt, retry),
      onWarning,
      onFailure,
    }),
    deadLetterLog: await openDeadLetters(config, name, deadLetterObserver),
    filter,
    handlers,
    handlerConcurrency: config.HANDLER_CONCURRENCY,
    retry,
    laneBytes: 2 * Math.max(config.MAX_BODY_BYTES, config.GROUP_MAX_BYTES),
    onWarning,
  })
}

function describe({ sink, lagEvents, deadLettersPending, failure }: Delivery): object {
  return { sink, lagEvents, deadLettersPending, failure }
}
