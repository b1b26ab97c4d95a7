/**
 * `POST /v1/hooks/<name>`, one route for each declared hook:
 *
 *     body ─verify─▶ valid signature ─inflate─▶ event ═ channel of all events ═▶ 202 once durable
 *
 * These routes need no key. So the bodies in progress have their own limit: a client that cannot sign takes no room
 * from clients with keys.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { MillraceError } from '../errors.ts'
import { boundRequestsInProgress } from '../http/admission.ts'
import type { Credentials } from '../http/credentials.ts'
import { type EventsOptions, receive } from '../http/events.ts'
import { keepBodiesAsBytes } from '../http/whole-body.ts'
import type { HookResult } from '../observability/metrics-contract.ts'
import { eventOfHook, textAt } from './event.ts'
import type { OpenHook } from './hook.ts'
import { verify } from './verify.ts'

const NO_BYTES = Buffer.alloc(0)
/** Challenges of Slack have 80 characters. */
const MAX_CHALLENGE_LENGTH = 1024
/** Hooks get one part in this many of the limit for requests in progress. */
const SHARE_IN_PROGRESS = 4

export interface HooksOptions {
  /** With the webhooks. */
  readonly credentials: Credentials
  readonly events: EventsOptions
  /** Limit for bodies of clients with keys. Hooks get a quarter of it in addition, and at least one body. */
  readonly maxInProgressBytes: number
  /** Allowed requests a minute, as told to a sender that asks; undefined: no limit. */
  readonly requestsPerMinute: number | undefined
}

/** Register this in its own Fastify scope. */
export function hooksRoutes(app: FastifyInstance, options: HooksOptions): void {
  const { credentials, events, maxInProgressBytes } = options
  const { maxBodyBytes, scheduler, counts } = events
  const maxBytes = Math.max(maxBodyBytes, Math.floor(maxInProgressBytes / SHARE_IN_PROGRESS))
  app.decorateRequest('client', '')
  app.decorateRequest('grant', undefined)
  boundRequestsInProgress(app, maxBytes, maxBodyBytes, scheduler)
  keepBodiesAsBytes(app, maxBodyBytes)
  for (const [place, hook] of credentials.current.hooks.entries()) {
    /** With the secrets that it has now. */
    const current = () => credentials.current.hooks[place] ?? hook
    const url = `/v1/hooks/${hook.name}`
    const onResponse = (_request: FastifyRequest, { raw }: FastifyReply, done: () => void) => {
      counts.hookRequest(place, raw.headersSent ? resultOf(raw.statusCode) : 'refused')
      done()
    }
    app.post<{ Body: Buffer | undefined }>(url, { onResponse }, (request, reply) =>
      take(current(), request, reply, events),
    )
    if (hook.allowedOrigins.length > 0) {
      app.options(url, (request, reply) => permit(hook, request, reply, options.requestsPerMinute))
    }
  }
}

function resultOf(statusCode: number): HookResult {
  if (statusCode === 202) return 'stored'
  if (statusCode === 200) return 'challenged'
  return statusCode === 401 ? 'unverified' : 'refused'
}

/** @throws MillraceError SIGNATURE_INVALID; MALFORMED for an empty body; the errors of {@link receive}. */
function take(
  hook: OpenHook,
  request: FastifyRequest<{ Body: Buffer | undefined }>,
  reply: FastifyReply,
  events: EventsOptions,
): void {
  const signed = request.body ?? NO_BYTES
  request.client = `hook:${hook.name}` // a name that no key and no token can have
  request.grant = { scope: undefined, principal: { authtype: 'service_account', authid: request.client } }
  const signedAtMs = verifyOrAsk(hook, request, signed, reply)
  if (signed.length === 0) throw new MillraceError('MALFORMED', 'the body is empty: there is no event in it')
  const challenge = challengeOf(hook, request, signed)
  if (challenge !== undefined) {
    reply.code(200).type('text/plain; charset=utf-8').send(challenge)
    return
  }
  receive(request, reply, events, ({ body }, wanted) => eventOfHook(hook, body, request.raw, signedAtMs, wanted))
}

/** A 401 says how to sign (RFC 9110, section 11.6.1). */
function verifyOrAsk(hook: OpenHook, { headers }: FastifyRequest, signed: Buffer, reply: FastifyReply) {
  reply.header('www-authenticate', `HMAC realm="hooks/${hook.name}", header="${hook.scheme.header}"`)
  const signedAtMs = verify(hook, headers, signed)
  reply.removeHeader('www-authenticate')
  return signedAtMs
}

/**
 * The challenge that Slack expects back before it sends events
 * (https://docs.slack.dev/reference/events/url_verification). It is answered only if its signature is valid.
 */
function challengeOf({ provider }: OpenHook, { headers }: FastifyRequest, body: Buffer): string | undefined {
  if (provider !== 'slack' || textAt({ member: 'type' }, headers, body) !== 'url_verification') return undefined
  const challenge = textAt({ member: 'challenge' }, headers, body)
  if (challenge !== undefined && challenge.length <= MAX_CHALLENGE_LENGTH) return challenge
  throw new MillraceError('MALFORMED', `challenge must be a text of 1 to ${MAX_CHALLENGE_LENGTH} characters`)
}

/**
 * Answers a sender that asks whether it may send here
 * (https://github.com/cloudevents/spec/blob/main/cloudevents/http-webhook.md, section 4). A callback
 * (`WebHook-Request-Callback`) is not called: it would let anyone make this service send requests to other hosts.
 */
function permit(
  { allowedOrigins }: OpenHook,
  { headers }: FastifyRequest,
  reply: FastifyReply,
  requestsPerMinute: number | undefined,
): void {
  const origin = headers['webhook-request-origin']
  reply.header('allow', 'OPTIONS, POST')
  if (typeof origin !== 'string') {
    reply.code(204).send()
    return
  }
  const isAllowed = allowedOrigins.some((allowed) => allowed === '*' || allowed === origin.toLowerCase())
  if (!isAllowed)
    throw new MillraceError('FORBIDDEN', 'this sender is not in allowedOrigins of this hook: add it there')
  const isRateAsked = headers['webhook-request-rate'] !== undefined
  reply.header('webhook-allowed-origin', origin)
  if (isRateAsked || requestsPerMinute !== undefined) {
    reply.header('webhook-allowed-rate', requestsPerMinute === undefined ? '*' : String(requestsPerMinute))
  }
  reply.code(200).send()
}
