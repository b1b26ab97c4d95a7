/**
 * The public routes, for readers: the OpenAPI document is made from them (docs.ts). Nothing is checked by it, as events are
 * judged one by one with a reason each; a test checks that the service does what it says. Loaded when somebody asks: a
 * start does not wait for it.
 */
import type { FastifySchema } from 'fastify'
import Type from 'typebox'
import { Accepted, CloudEvent, Problem, ShortEvent } from './schemas.ts'

const problem = (description: string, headers?: Record<string, object>) => ({
  description,
  ...(headers && { headers }),
  content: { 'application/problem+json': { schema: Type.Ref('Problem') } },
})
const retryAfter = { 'retry-after': { schema: { type: 'integer' }, description: 'Seconds.' } }

const events = {
  summary: 'Send events',
  description:
    'Answers once every accepted event is durable. Content-Encoding: gzip, deflate, br or zstd, or up to three of them in ' +
    'the order applied; several gzip members or zstd frames are one body. Text is UTF-8. With ce-* headers, the body is the data of one CloudEvent, of any type. ' +
    'A public key (pk_…) may stand in the address as `key`, and its body may be text/plain: JSON or NDJSON.',
  tags: ['events'],
  body: {
    content: {
      'application/json': {
        schema: Type.Union([ShortEvent, CloudEvent, Type.Array(Type.Union([ShortEvent, CloudEvent]))]),
      },
      'application/cloudevents+json': { schema: CloudEvent },
      'application/cloudevents-batch+json': { schema: Type.Array(CloudEvent) },
      'application/x-ndjson': {
        schema: Type.String({
          description: 'One event a line; also as application/ndjson or application/jsonl.',
          examples: ['{"data":1}\n{"data":2}\n'],
        }),
      },
    },
  },
  response: {
    202: Type.Ref('Accepted'),
    400: problem('The body is malformed.'),
    401: problem('API key or token missing or invalid.', { 'www-authenticate': { schema: { type: 'string' } } }),
    403: problem('An event is outside of the scope of this client; without API keys, only this machine may send.'),
    405: problem('Another method; Allow says which.', { allow: { schema: { type: 'string' } } }),
    408: problem('The request did not arrive in time.'),
    413: problem('Body too large, inflated too large, or too many events.'),
    415: problem('Content type or encoding not supported; for an encoding, Accept-Encoding says which are.', {
      'accept-encoding': { schema: { type: 'string' } },
    }),
    417: problem('An expectation other than 100-continue.'),
    422: problem('No event was acceptable; the reasons are listed.'),
    429: problem('This client is over its rate limit or quota.', retryAfter),
    431: problem('Headers too large.'),
    501: problem('A transfer coding other than chunked.'),
    503: problem(
      'Channel, log or disk is full, tokens cannot be checked, or shutting down: nothing of the request was kept.',
      retryAfter,
    ),
    505: problem('An HTTP version other than 1.1 and 1.0.'),
  },
}

const hook = {
  summary: 'Send a webhook',
  description:
    'For the webhooks that the config file declares; unknown names are 404. The body is signed as its sender does it: the bytes as they ' +
    'are sent, with their content codings. They become the data of one CloudEvent. Answers once it is durable.',
  tags: ['hooks'],
  security: [],
  params: Type.Object({ name: Type.String({ description: 'Name of the hook in the config file.' }) }),
  response: {
    200: {
      description: 'The answer to a challenge that the sender has signed (Slack); nothing is stored.',
      content: { 'text/plain': { schema: Type.String() } },
    },
    ...events.response,
    401: problem('The signature is missing or invalid, or its timestamp is outside of the window.', {
      'www-authenticate': { schema: { type: 'string' } },
    }),
    403: problem('The Host header names another machine, while only this one may send.'),
  },
}

const Live = Type.Object({ status: Type.Literal('live') })
const Ready = Type.Object({
  status: Type.Enum(['ready', 'not ready']),
  reason: Type.Optional(Type.String({ description: 'Why not.' })),
})

const AnyObject = Type.Object({}, { additionalProperties: true, description: 'OpenAPI 3.1.' })

const allow = { allow: { schema: { type: 'string' }, description: 'Methods of this path.' } }
const empty = (description: string, headers: Record<string, object> = {}) => ({ type: 'null', description, headers })

const askEvents = {
  summary: 'Ask what may be sent',
  description:
    'Without a key. A browser asks for a page of another origin (CORS preflight): the origins of public keys are allowed.',
  tags: ['events'],
  security: [],
  response: {
    204: empty('Allow says which methods there are; a page that may send gets Access-Control headers.', {
      ...allow,
      'access-control-allow-origin': { schema: { type: 'string' } },
    }),
  },
}
const askHook = {
  summary: 'Ask whether webhooks may be sent',
  description:
    'CloudEvents WebHook: a sender names itself in WebHook-Request-Origin. Only hooks with allowedOrigins answer that.',
  tags: ['hooks'],
  security: [],
  params: hook.params,
  response: {
    200: empty('The sender is in allowedOrigins of this hook.', {
      ...allow,
      'webhook-allowed-origin': { schema: { type: 'string' } },
      'webhook-allowed-rate': { schema: { type: 'string' }, description: 'Requests a minute, or *.' },
    }),
    204: empty('Allow says which methods there are.', allow),
    403: problem('The sender is not in allowedOrigins of this hook.'),
    404: problem('No hook has this name.'),
  },
}

/** What others refer to by their `$id`. */
export const SHARED = [Problem, Accepted]

interface Route {
  readonly method: 'GET' | 'HEAD' | 'OPTIONS' | 'POST'
  readonly url: string
  readonly schema: FastifySchema & { readonly tags: readonly string[]; readonly summary: string }
}

export const ROUTES: readonly Route[] = [
  { method: 'POST', url: '/v1/events', schema: events },
  { method: 'OPTIONS', url: '/v1/events', schema: askEvents },
  { method: 'POST', url: '/v1/hooks/:name', schema: hook },
  { method: 'OPTIONS', url: '/v1/hooks/:name', schema: askHook },
  {
    method: 'GET',
    url: '/health/live',
    schema: { summary: 'The process runs', tags: ['health'], security: [], response: { 200: Live } },
  },
  {
    method: 'GET',
    url: '/health/ready',
    schema: {
      summary: 'The service can take events',
      tags: ['health'],
      security: [],
      response: { 200: Ready, 503: Ready },
    },
  },
  {
    method: 'GET',
    url: '/openapi.json',
    schema: { summary: 'This document', tags: ['docs'], security: [], response: { 200: AnyObject } },
  },
]

/** What every path that is read answers as well. */
export const HEAD_AND_OPTIONS: readonly Route[] = ROUTES.filter(({ method }) => method === 'GET').flatMap(
  ({ url, schema: { tags, summary, response } }): Route[] => {
    const statuses = Object.keys(response as object).map((status) => [status, empty('As GET, without the body.')])
    const head = { summary: `${summary}: without the body`, tags, security: [], response: Object.fromEntries(statuses) }
    const ask = { summary: 'Ask for the methods', tags, security: [], response: { 204: empty('See Allow.', allow) } }
    return [
      { method: 'HEAD', url, schema: head },
      { method: 'OPTIONS', url, schema: ask },
    ]
  },
)
