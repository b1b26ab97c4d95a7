/**
 * The admin listener: the live page, metrics, health, dead letters. Never put it behind the load balancer: it is on
 * loopback unless ADMIN_HOST is set. A web page of another origin cannot use it: state changes need a header that a
 * form cannot send, and the Host of this listener.
 */
import { createHash, timingSafeEqual } from 'node:crypto'
import { type FastifyBaseLogger, type FastifyInstance, fastify, LogController } from 'fastify'
import type { ReplayResult } from '../delivery/dead-letters.ts'
import { MillraceError } from '../errors.ts'
import { isEnding } from '../http/close-in-stages.ts'
import { checkFraming } from '../http/framing.ts'
import { healthRoutes } from '../http/health.ts'
import { NO_SCHEMAS } from '../http/no-schemas.ts'
import { answerExpectations, answerParserErrors, refuseForeignMethods } from '../http/parser-errors.ts'
import { sendProblem } from '../http/problem.ts'
import { answerUnknownRoutes } from '../http/unknown-routes.ts'
import { isLoopback } from '../process/listen.ts'
import { type LiveOptions, livePage } from './live.ts'

export interface AdminOptions {
  readonly logger: FastifyBaseLogger
  readonly host: string
  readonly notReady: () => string | undefined
  /** Metrics in Prometheus text format. */
  readonly scrape: () => Promise<{ contentType: string; text: string }>
  /** Short description and state of the service. */
  readonly status: () => object
  readonly live: Omit<LiveOptions, 'needsToken'>
  /** Bearer token for state changes; empty: none is needed on loopback, and they are refused elsewhere. */
  readonly token: string
  readonly sinks: readonly string[]
  /** The oldest dead letters of a sink that were not replayed yet, as JSON texts. */
  readonly deadLetters: (sink: string, limit: number) => Promise<string[]>
  readonly replay: (sink: string) => Promise<ReplayResult | undefined>
}

/** No route uses a request body. */
const MAX_BODY_BYTES = 1024 * 1024
/** Most dead letters in one answer. */
const MAX_LISTED = 10_000

/** A header for which a browser sends a CORS preflight, which is never granted. */
export const ADMIN_HEADER = 'x-millrace-admin'

export function createAdmin(options: AdminOptions): FastifyInstance {
  const { logger, host, notReady, scrape, status, live, token, sinks, deadLetters, replay } = options
  const notCounted = () => undefined
  const app = fastify({
    loggerInstance: logger,
    http: { joinDuplicateHeaders: true, requireHostHeader: false }, // as the public listener: framing.ts
    schemaController: NO_SCHEMAS,
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: MAX_BODY_BYTES,
    forceCloseConnections: true,
    clientErrorHandler: answerParserErrors(notCounted, logger),
  })
  app.setErrorHandler(sendProblem)
  refuseForeignMethods(app.server, notCounted)
  answerExpectations(app.server, MAX_BODY_BYTES, notCounted)
  const framing = { refusesDomains: false } // the hook below refuses domains, with its own message
  app.addHook('onRequest', ({ raw }, reply, done) => {
    if (isEnding(raw.socket)) return void reply.hijack()
    checkFraming(raw, framing)
    done()
  })
  if (isLoopback(host)) {
    // DNS rebinding: refuse a foreign name that resolves to this address.
    app.addHook('onRequest', (request, _reply, done) => {
      if (isLoopback(request.hostname.replace(/^\[|\]$/g, ''))) done()
      else
        done(
          new MillraceError('FORBIDDEN', `this listener answers to its loopback address, not to ${request.hostname}`),
        )
    })
  }
  answerUnknownRoutes(app, '/')
  healthRoutes(app, notReady)

  app.register(livePage, { ...live, needsToken: token !== '' })
  app.get('/status', () => status())

  app.get('/metrics', async (_request, reply) => {
    const { contentType, text } = await scrape()
    return reply.header('content-type', contentType).send(text)
  })

  const requireSink = (sink: string) => {
    if (sinks.includes(sink)) return
    throw new MillraceError('NOT_FOUND', `no sink ${JSON.stringify(sink)} is running: use one of ${sinks.join(', ')}`)
  }
  app.get<{ Params: { sink: string }; Querystring: { limit?: string } }>(
    '/dead-letters/:sink',
    async (request, reply) => {
      requireSink(request.params.sink)
      const letters = await deadLetters(request.params.sink, limitOf(request.query.limit))
      return reply.type('application/json; charset=utf-8').send(`[${letters.join(',')}]`)
    },
  )

  app.post<{ Params: { sink: string } }>('/dead-letters/:sink/replay', async (request, reply) => {
    if (request.headers[ADMIN_HEADER] === undefined) {
      throw new MillraceError('FORBIDDEN', `send the header "${ADMIN_HEADER}: 1"`)
    }
    // Refuse requests from pages of other sites, whatever their headers are.
    if (request.headers['sec-fetch-site'] === 'cross-site')
      throw new MillraceError('FORBIDDEN', 'asked from another site')
    if (token !== '' || !isLoopback(host)) requireToken(request.headers.authorization, token)
    requireSink(request.params.sink)
    const result = await replay(request.params.sink)
    return result ?? reply.code(409).send({ reason: 'a replay of this sink is already under way' })
  })
  return app
}

function limitOf(text = '100'): number {
  const limit = Number(text)
  if (Number.isInteger(limit) && limit >= 1 && limit <= MAX_LISTED) return limit
  throw new MillraceError('MALFORMED', `limit is ${JSON.stringify(text)}: use a whole number from 1 to ${MAX_LISTED}`)
}

/** Without loopback, everyone who reaches the port may read. Every change needs the token. */
function requireToken(authorization: string | undefined, token: string): void {
  if (token === '') {
    throw new MillraceError('FORBIDDEN', 'ADMIN_HOST is not loopback: set ADMIN_TOKEN, and send it as a bearer token')
  }
  const given = createHash('sha256').update(authorization ?? '')
  const wanted = createHash('sha256').update(`Bearer ${token}`)
  if (!timingSafeEqual(given.digest(), wanted.digest())) {
    throw new MillraceError('FORBIDDEN', 'send "Authorization: Bearer <ADMIN_TOKEN>"')
  }
}
