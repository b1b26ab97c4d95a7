/**
 * The whole pipeline on one screen. Only this file and log/open.ts, which selects the log, select implementations.
 *
 *     HTTP ─▶ Sender ═ channel ═▶ Receiver ─▶ group commit ─▶ Log ─▶ Delivery (one a route) ─▶ handlers ─▶ Sink
 *       ▲                                          │
 *       └──────────── 202 once durable ◀───────────┘
 *
 * ROLE=ingest is the part before the Log, ROLE=deliver the part after it.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyBaseLogger, FastifyInstance } from 'fastify'
import packageJson from '../package.json' with { type: 'json' }
import { createAdmin } from './admin/server.ts'
import { channel } from './channel/channel.ts'
import type { Config } from './config.ts'
import { type ConfigFile, NO_CONFIG_FILE } from './config-file/load.ts'
import type { RunningDelivery } from './delivery/delivery.ts'
import { type CheckedRoute, checkRoutes, routesOfEnvironment } from './delivery/route.ts'
import { type DeliveryThread, startDeliveryThread } from './delivery-thread/delivery-thread.ts'
import { pickFrom, startThreads } from './handlers/pick.ts'
import { hookFiles } from './hooks/secrets.ts'
import { needsCredentials } from './http/auth.ts'
import { CredentialFiles } from './http/credentials.ts'
import { createServer, type ServerOptions } from './http/server.ts'
import { HttpThreads } from './http/threads.ts'
import { groupCommit } from './log/group-commit.ts'
import type { Log } from './log/log.ts'
import { openLog, openWindow } from './log/open.ts'
import { publishToCloudWatch } from './observability/cloudwatch.ts'
import { Metrics, type PipelineView, requireKnownCounts } from './observability/metrics.ts'
import type { Tracing } from './observability/tracing.ts'
import { checkDirectories } from './process/directories.ts'
import { listen } from './process/listen.ts'
import { filesOf } from './sinks/open.ts'
import { type Observer, startDeliveries } from './start-deliveries.ts'
import type { Write } from './write.ts'

const { version } = packageJson

export interface App {
  /** Addresses of the listeners, `http://host:port`. `url` accepts events; undefined with ROLE=deliver. */
  readonly url: string | undefined
  readonly adminUrl: string
  /**
   * Stops all parts in order. Resolves to whether all work in progress was finished.
   * @param graceMs how long readiness fails while requests are still served.
   * @param drainMs how long sinks may go on. Default: SHUTDOWN_DRAIN_MS.
   */
  close(graceMs: number, drainMs?: number): Promise<boolean>
  /** Reads certificate and key files again. @returns whether anything has changed; an invalid file is only logged. */
  reload(): boolean
}

interface AppParts {
  /** Default: the real metrics. A replacement is for measuring the cost of metrics. */
  readonly metrics?: Pick<Metrics, keyof Metrics>
  /** Default: none. */
  readonly tracing?: Tracing | undefined
  /** The user's own handlers, sinks and routes. Default: none. */
  readonly file?: ConfigFile
  /** The environment with the secrets of webhooks. Default: that of the process. */
  readonly environment?: Readonly<Record<string, string | undefined>>
}

/**
 * Starts everything and listens.
 * @param onFailure called once when the log failed for good and only a restart helps.
 * @throws MillraceError; its message says what is wrong and what to do.
 */
export async function startApp(
  config: Config,
  logger: FastifyBaseLogger,
  onFailure: (error: Error) => void,
  parts: AppParts = {},
): Promise<App> {
  const { ROLE: role, CHANNEL_CAPACITY_EVENTS: capacityEvents, CHANNEL_CAPACITY_BYTES: capacityBytes } = config
  const { metrics = new Metrics(directoryOf(config), version, role), tracing, file = NO_CONFIG_FILE } = parts
  const observer = observe(logger, metrics, onFailure)
  const handlerThreads = await startThreads(handlerThreadsOf(config), file, observer.onWarning)
  const routes = role === 'ingest' ? [] : checkRoutes(config, file, pickFrom(file, handlerThreads))
  await checkDirectories(config, routes)
  requireKnownCounts(directoryOf(config))
  const hooks = hookFiles(role === 'deliver' ? NO_CONFIG_FILE : file, parts.environment ?? process.env)
  const credentialFiles = new CredentialFiles(config, logger, hooks)

  const log = await openLog(config, observer)
  metrics.restore(log.committedEvents)
  const window = await openWindow(config, log)
  const { sender, receiver } = channel<Write>(capacityEvents, { ...SIZE_OF_WRITE, maxBytes: capacityBytes })
  const committing = groupCommit(receiver, log, { ...groupOf(config), window })
  const { deliveries, thread: deliveryThread } = await startDelivering(config, file, routes, log, observer)

  const phase = new Phase(log)
  const listener = await openListener(role, {
    ...{ config, logger, sender, version, tracing, counts: metrics.ingest, keyed: log.keyed },
    credentials: credentialFiles.credentials,
    deduplicates: window !== undefined,
    filesOfSinks: routes.reduce((sum, route) => sum + filesOf(route), 0),
    notReady: () => phase.notReady,
    isDraining: () => phase.isDraining,
  })
  const threads = listener instanceof HttpThreads ? listener : undefined
  const view: View = {
    channel: receiver,
    threads,
    capacityEvents,
    capacityBytes,
    log,
    deliveries,
    hooks: credentialFiles.credentials.current.hooks.map(({ name }) => name),
  }
  metrics.observe(view)
  const stopPublishing = publish(config, ownOutput(config, file), metrics, view)

  let url: string | undefined
  const admin = openAdmin({ config, logger, metrics, view, notReady: () => phase.notReady, url: () => url })
  if (listener) url = await listen(listener, config.HOST, config.PORT, '')
  const adminUrl = await listen(admin, config.ADMIN_HOST, config.ADMIN_PORT, 'ADMIN_')

  const close = async (graceMs: number, drainMs = config.SHUTDOWN_DRAIN_MS) => {
    credentialFiles.close()
    await phase.grace(graceMs) // readiness fails: load balancers switch while requests are still served
    phase.drain()
    await listener?.close() // no new connections; requests in progress are answered
    sender.close()
    await committing
    const finished = await Promise.all(deliveries.map((delivery) => delivery.close(drainMs)))
    await (deliveryThread ?? handlerThreads)?.close()
    stopPublishing()
    await admin.close()
    await log.close()
    metrics.close()
    await tracing?.stop()
    return finished.every(Boolean) && metrics.ingest.inFlightTotal === 0
  }
  return { url, adminUrl, close, reload: () => credentialFiles.reload() }
}

/** The life of an instance: serving ─▶ grace ─▶ draining. */
class Phase {
  readonly #log: Pick<Log, 'failure'>
  #name: 'serving' | 'grace' | 'draining' = 'serving'

  constructor(log: Pick<Log, 'failure'>) {
    this.#log = log
  }

  /** Why no new events should be sent here; undefined while the instance is ready. */
  get notReady(): string | undefined {
    return this.#name === 'serving' ? this.#log.failure?.message : 'shutting down'
  }

  get isDraining(): boolean {
    return this.#name === 'draining'
  }

  grace(ms: number): Promise<void> {
    this.#name = 'grace'
    return sleep(ms)
  }

  drain(): void {
    this.#name = 'draining'
  }
}

const SIZE_OF_WRITE = { slots: (write: Write) => write.count, bytes: (write: Write) => write.payload.length }

function groupOf({ GROUP_MAX_BYTES: maxGroupBytes, GROUP_LINGER_MS: lingerMs }: Config) {
  return { maxGroupBytes, lingerMs }
}

/** The directory for counts; undefined with Kafka, where a process keeps nothing on disk. */
function directoryOf({ LOG_ENGINE, DATA_DIR }: Config): string | undefined {
  return LOG_ENGINE === 'embedded' ? DATA_DIR : undefined
}

/** The stream for our own log lines. If the stdout sink uses standard output, nothing else may be printed there. */
export function ownOutput(
  config: Config,
  file: ConfigFile = NO_CONFIG_FILE,
): typeof process.stdout | typeof process.stderr {
  const routes = [...routesOfEnvironment(config, file), ...(file.routes ?? [])]
  const isTaken = config.ROLE !== 'ingest' && routes.some(({ sink }) => sink === 'stdout')
  return isTaken ? process.stderr : process.stdout
}

type View = Omit<PipelineView, 'deliveries'> & { readonly deliveries: readonly RunningDelivery[] }
type ListenerOptions = ServerOptions & ConstructorParameters<typeof HttpThreads>[0]

function observe(
  logger: FastifyBaseLogger,
  metrics: Pick<Metrics, 'synced' | 'damaged' | 'logFailed'>,
  onFailure: (error: Error) => void,
): Observer {
  return {
    onSinkFailure: onFailure,
    onSync: (durationMs, groupEvents) => metrics.synced(durationMs, groupEvents),
    onDamage: (damage) => {
      metrics.damaged()
      logger.warn({ damage }, 'the log is damaged here, reading continues after the damage: see damage.reason')
    },
    onWarning: (message) => logger.warn(message),
    onFailure: (error) => {
      metrics.logFailed()
      onFailure(error)
    },
  }
}

/** The public listener, on this thread or on several; undefined with ROLE=deliver. */
async function openListener(role: Config['ROLE'], options: ListenerOptions) {
  if (role === 'deliver') return undefined
  return options.config.WORKERS > 1 ? new HttpThreads(options) : createServer(options)
}

/** How many threads run handlers of the main thread. A delivery thread starts its own. */
function handlerThreadsOf({ ROLE, DELIVERY_THREAD, HANDLER_THREADS }: Config): number {
  return ROLE === 'ingest' || DELIVERY_THREAD ? 0 : HANDLER_THREADS
}

/** Starts one delivery for each route: here, or all of them on one thread of their own. */
async function startDelivering(
  config: Config,
  file: ConfigFile,
  routes: readonly CheckedRoute[],
  log: Log,
  observer: Observer,
): Promise<{ readonly deliveries: readonly RunningDelivery[]; readonly thread?: DeliveryThread }> {
  const thread = config.DELIVERY_THREAD ? await startDeliveryThread(config, file, routes, log, observer) : undefined
  const deliveries = thread?.deliveries ?? (await startDeliveries(routes, log, observer))
  for (const name of log.idleConsumers) {
    observer.onWarning(`sink ${name} is not used: events that it has not delivered may be deleted`)
  }
  return { deliveries, ...(thread && { thread }) }
}

/** Publishes the metrics for autoscaling in AWS. @returns a function that stops it. */
function publish(
  config: Config,
  output: ReturnType<typeof ownOutput>,
  metrics: Pick<Metrics, 'saturation' | 'loopUse'>,
  view: View,
): () => void {
  return publishToCloudWatch({
    intervalMs: config.CLOUDWATCH_INTERVAL_MS,
    environment: config.ENVIRONMENT,
    role: config.ROLE,
    read: () => ({
      saturation: metrics.saturation(view),
      loopUse: Math.max(metrics.loopUse, view.threads?.loopUse ?? 0),
      sinks: view.deliveries,
    }),
    write: (line) => output.write(line),
  })
}

interface AdminParts {
  readonly config: Config
  readonly logger: FastifyBaseLogger
  readonly metrics: Pick<Metrics, keyof Metrics>
  readonly view: View
  readonly notReady: () => string | undefined
  readonly url: () => string | undefined
}

function openAdmin({ config, logger, metrics, view, notReady, url }: AdminParts): FastifyInstance {
  const { ROLE: role } = config
  const { deliveries } = view
  const delivery = (sink: string) => deliveries.find((one) => one.sink === sink)
  const describe = ({ sink, lagEvents, deadLettersPending, failure }: RunningDelivery) => {
    return { sink, lagEvents, deadLettersPending, failure }
  }
  return createAdmin({
    logger,
    notReady,
    host: config.ADMIN_HOST,
    token: config.ADMIN_TOKEN,
    scrape: () => metrics.scrape(),
    live: { source: { version, role, metrics, view }, url, needsKey: needsCredentials(config) },
    status: () => ({ name: 'millrace', version, role, sinks: deliveries.map(describe) }),
    sinks: deliveries.map(({ sink }) => sink),
    deadLetters: async (sink, limit) => ((await delivery(sink)?.deadLetters(limit)) ?? []).map(({ text }) => text),
    replay: async (sink) => delivery(sink)?.replay(),
  })
}
