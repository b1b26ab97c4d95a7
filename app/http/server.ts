/**
 * The public listener: events, health, OpenAPI and its page. Sees a Sender, never the log behind it.
 *
 * Timeouts fit a load balancer that keeps idle connections for 60 s: idle there (60) < keepAliveTimeout (72) <
 * headersTimeout (75). So the server never closes a connection while the load balancer sends a request on it.
 */
import type { Server } from 'node:http'
import type { Server as TlsServer } from 'node:tls'
import {
  type FastifyBaseLogger,
  type FastifyError,
  type FastifyHttpOptions,
  type FastifyInstance,
  fastify,
  LogController,
} from 'fastify'
import type { Sender } from '../channel/channel.ts'
import type { Config } from '../config.ts'
import { type ErrorCode, MillraceError } from '../errors.ts'
import type { Counts } from '../observability/counts.ts'
import { reasonOf, reasonOfCode } from '../observability/metrics-contract.ts'
import type { Tracing } from '../observability/tracing.ts'
import { isLoopback } from '../process/listen.ts'
import type { Write } from '../write.ts'
import { boundRequestsInProgress } from './admission.ts'
import { needsCredentials, requireCredentials } from './auth.ts'
import { BodyScheduler } from './body-scheduler.ts'
import { isEnding } from './close-in-stages.ts'
import { limitConnections } from './connections.ts'
import { answerPreflights, Origins } from './cors.ts'
import type { Credentials } from './credentials.ts'
import { docsRoutes } from './docs.ts'
import { type EventsOptions, eventsRoute } from './events.ts'
import { checkFraming } from './framing.ts'
import { healthRoutes } from './health.ts'
import { NO_SCHEMAS } from './no-schemas.ts'
import { answerExpectations, answerParserErrors, refuseForeignMethods } from './parser-errors.ts'
import { sendProblem, toProblem } from './problem.ts'
import { type EventQuota, Quota } from './quota.ts'
import { SharedQuota, sharedStore } from './shared-limits.ts'
import { stampsOf } from './stamps.ts'
import { contextOf, serverOptionsOf } from './tls.ts'
import { traceIdOf, traceparentOf } from './trace.ts'
import { answerUnknownRoutes } from './unknown-routes.ts'

export const KEEP_ALIVE_TIMEOUT_MS = 72_000
export const HEADERS_TIMEOUT_MS = 75_000
/** Time limit for one whole request. A slower upload is cut off (slow loris). */
const REQUEST_TIMEOUT_MS = 60_000

export interface ServerOptions {
  readonly config: Config
  readonly logger: FastifyBaseLogger
  readonly sender: Sender<Write>
  /** Certificate, keys, and webhooks with their secrets. New ones are used as soon as they are replaced. */
  readonly credentials: Credentials
  /** Whether the log spreads events by key. */
  readonly keyed: boolean
  /** Whether events that are already in the log are discarded. */
  readonly deduplicates: boolean
  readonly counts: Counts
  /** Files and connections that the sinks of this process may have open. */
  readonly filesOfSinks: number
  readonly version: string
  /** Why events cannot be taken now, or undefined. */
  readonly notReady: () => string | undefined
  readonly isDraining: () => boolean
  /** Default: no tracing; the trace context of a request is passed on unchanged. */
  readonly tracing?: Tracing | undefined
  /** How much clients have used of their limits, if several threads serve them. Default: this thread counts alone. */
  readonly limits?: SharedLimits
}

/** Room for the headers of segments and groups, rounded up. */
const LOG_HEADERS_BYTES = 1024

export interface SharedLimits {
  readonly requests: SharedArrayBuffer
  readonly events: SharedArrayBuffer
}

export async function createServer(options: ServerOptions): Promise<FastifyInstance> {
  const { config, counts, version, notReady, tracing } = options
  const refused = (code: ErrorCode) => counts.refuseRequest(reasonOfCode(code))
  const app = openFastify(options, refused)
  leaveBodiesUnread(app)
  limitConnections(app, options.filesOfSinks, config.WORKERS)
  answerErrors(app, counts)
  refuseForeignMethods(app.server, refused)
  answerExpectations(app.server, config.MAX_BODY_BYTES, refused)
  checkEveryRequest(app, config)
  answerUnknownRoutes(app, '/docs')

  if (tracing) await app.register(tracing.plugin)
  docsRoutes(app, { version, needsKey: needsCredentials(config) })
  healthRoutes(app, notReady)
  const events = eventsOptions(options)
  const origins = new Origins(options.credentials)
  if (needsCredentials(config)) answerPreflights(app, '/v1/events', origins)
  await app.register((scope) => takeEvents(scope, options, events, origins))
  await app.register((scope) => takeHooks(scope, options, events))
  return app
}

function openFastify(options: ServerOptions, refused: (code: ErrorCode) => void): FastifyInstance {
  const { config, logger, counts, credentials } = options
  const app = fastify({
    ...serverOptions(credentials),
    schemaController: NO_SCHEMAS,
    // Not passed as Fastify's logger: Fastify would then time each request and add listeners to each response. Log lines
    // of a request can be found by its trace. A request without a trace needs no logger of its own.
    childLoggerFactory: (_none, bindings, options, raw) => {
      const trace = traceparentOf(raw.headers)
      return trace === undefined ? logger : logger.child({ ...bindings, traceId: traceIdOf(trace) }, options)
    },
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: config.MAX_BODY_BYTES,
    trustProxy: config.TRUSTED_PROXIES.length > 0 && [...config.TRUSTED_PROXIES],
    keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
    requestTimeout: REQUEST_TIMEOUT_MS,
    clientErrorHandler: answerParserErrors(refused, logger),
    forceCloseConnections: 'idle',
    // Requests are served during the grace of a shutdown. The route refuses later ones with a problem document.
    return503OnClosing: false,
    frameworkErrors: (error, request, reply) => {
      counts.refuseRequest('other')
      return sendProblem(error, request, reply)
    },
  })
  credentials.onReplaced(({ tls }) => {
    if (tls) (app.server as Server & TlsServer).setSecureContext(contextOf(tls)) // connections that are open keep theirs
  })
  return app
}

/** Options of Node's server. Fastify has another type for servers with TLS, with the same methods. */
function serverOptions({ current: { tls } }: Credentials): Pick<FastifyHttpOptions<Server>, 'http'> {
  const http = {
    headersTimeout: HEADERS_TIMEOUT_MS,
    joinDuplicateHeaders: true, // Node would silently drop the second one
    requireHostHeader: false, // Node would answer without a problem document; framing.ts checks the header
  }
  return tls === undefined ? { http } : ({ https: { ...http, ...serverOptionsOf(tls) } } as object)
}

/** Leaves bodies unread on routes that expect none: these routes neither ask for a key nor limit bodies. */
function leaveBodiesUnread(app: FastifyInstance): void {
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', (_request, _payload, done) => done(null))
}

/** Every error as a problem document, counted by its reason. */
function answerErrors(app: FastifyInstance, counts: Counts): void {
  app.setErrorHandler((error, request, reply) => {
    const problem = toProblem(error, request)
    const isClients = !problem && ((error as FastifyError).statusCode ?? 500) < 500
    // A request whose connection broke off was counted already, or has no client left to answer.
    if (!request.raw.socket.destroyed) counts.refuseRequest(isClients ? 'other' : reasonOf(problem))
    return sendProblem(error, request, reply)
  })
}

/** Checks that apply to every route. */
function checkEveryRequest(app: FastifyInstance, config: Config): void {
  const isOpenToThisMachine = !needsCredentials(config) && isLoopback(config.HOST) && !config.ALLOW_ANONYMOUS
  const framing = { refusesDomains: isOpenToThisMachine }
  app.addHook('onRequest', ({ raw }, reply, done) => {
    if (isEnding(raw.socket)) return void reply.hijack()
    checkFraming(raw, framing)
    done()
  })
}

/** `POST /v1/events`, after the checks of keys, limits and requests in progress, in this order. */
async function takeEvents(
  scope: FastifyInstance,
  options: ServerOptions,
  events: EventsOptions,
  origins: Origins,
): Promise<void> {
  const { config, limits } = options
  await requireCredentials(scope, { ...options, origins })
  if (config.RATE_LIMIT_REQUESTS_PER_SECOND > 0) {
    await limitRequests(scope, config.RATE_LIMIT_REQUESTS_PER_SECOND, limits)
  }
  boundRequestsInProgress(scope, config.IN_PROGRESS_MAX_BYTES, config.MAX_BODY_BYTES, events.scheduler)
  eventsRoute(scope, events)
}

/** `POST /v1/hooks/<name>`: the signature identifies the sender. */
async function takeHooks(scope: FastifyInstance, options: ServerOptions, events: EventsOptions): Promise<void> {
  const { config, credentials } = options
  if (credentials.current.hooks.length === 0) return
  const { hooksRoutes } = await import('../hooks/routes.ts')
  const perSecond = config.QUOTA_EVENTS_PER_SECOND
  hooksRoutes(scope, {
    ...{ credentials, events, maxInProgressBytes: config.IN_PROGRESS_MAX_BYTES },
    requestsPerMinute: perSecond > 0 ? perSecond * 60 : undefined,
  })
}

/** Options shared by all routes that accept events. */
function eventsOptions(options: ServerOptions): EventsOptions {
  const { config, sender, counts, keyed, deduplicates, isDraining, tracing, limits } = options
  const hasRoom = (bytes: number) => sender.capacity >= sender.maxCapacity / 4 && sender.freeBytes >= bytes
  return {
    ...{ scheduler: new BodyScheduler(hasRoom), sender, counts, keyed, deduplicates, isDraining },
    quota: config.QUOTA_EVENTS_PER_SECOND > 0 ? openQuota(config.QUOTA_EVENTS_PER_SECOND, limits) : undefined,
    publicQuota: publicQuotas(config.QUOTA_EVENTS_PER_SECOND, limits),
    ack: config.ACK,
    stamps: stampsOf(config),
    maxBodyBytes: config.MAX_BODY_BYTES,
    maxLogBytes: config.LOG_ENGINE === 'embedded' ? config.LOG_MAX_BYTES - LOG_HEADERS_BYTES : Number.POSITIVE_INFINITY,
    maxRequestEvents: Math.min(config.MAX_REQUEST_EVENTS, config.CHANNEL_CAPACITY_EVENTS),
    traceparentOf: (request) => tracing?.traceparentOf(request) ?? traceparentOf(request.headers),
  }
}

async function limitRequests(scope: FastifyInstance, max: number, limits: SharedLimits | undefined): Promise<void> {
  const { default: rateLimit } = await import('@fastify/rate-limit')
  await scope.register(rateLimit, {
    max,
    ...(limits && { store: sharedStore(limits.requests) }),
    timeWindow: 1000,
    hook: 'preParsing', // after the key is known, before the body is read
    keyGenerator: (request) => request.client,
    errorResponseBuilder: (_request, { max }) =>
      new MillraceError('OVER_QUOTA', `over ${max} requests a second: send again in a moment`),
  })
}

/** One quota for each rate of a public key. The lower of that rate and the quota of all clients applies. */
function publicQuotas(maxPerSecond: number, limits: SharedLimits | undefined): (rate: number) => EventQuota {
  const quotas = new Map<number, EventQuota>()
  return (rate) => {
    const eventsPerSecond = maxPerSecond > 0 ? Math.min(rate, maxPerSecond) : rate
    const quota = quotas.get(eventsPerSecond) ?? openQuota(eventsPerSecond, limits)
    quotas.set(eventsPerSecond, quota)
    return quota
  }
}

function openQuota(eventsPerSecond: number, limits: SharedLimits | undefined): EventQuota {
  return limits ? new SharedQuota(eventsPerSecond, limits.events) : new Quota(eventsPerSecond)
}
