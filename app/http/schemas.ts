/**
 * Schemas of the public routes, for readers: docs.ts makes the OpenAPI document from them. They validate nothing,
 * because each event is checked on its own and gets its own reason. A test checks that the service does what they say.
 * Loaded on the first request for the document, to keep the start fast.
 */
import type { FastifySchema } from 'fastify'
import Type from 'typebox'
import { DEFAULT_SOURCE, DEFAULT_TYPE, MAX_ATTRIBUTE_LENGTH } from '../event.ts'

const Rejected = Type.Array(
  Type.Object({
    index: Type.Integer({
      minimum: 0,
      description: 'Place of the event in the request, from 0; in NDJSON, blank lines are not counted.',
    }),
    reason: Type.String(),
    retryable: Type.Optional(
      Type.Literal(true, { description: 'Present when the event is sound but was not stored: send it again.' }),
    ),
  }),
  { description: 'Events that were not accepted, with the reason; absent when there are none.' },
)

const Problem = Type.Object(
  {
    type: Type.String({ description: 'urn:millrace:problem:<code>' }),
    title: Type.String(),
    status: Type.Integer(),
    detail: Type.String({ description: 'What is wrong with this request, and what to do.' }),
    rejected: Type.Optional(Rejected),
  },
  { $id: 'Problem', description: 'RFC 9457 problem details' },
)

/** No control characters and no noncharacters. The service also refuses the noncharacters beyond U+FFFF. */
const CHARACTER = '[^\\u0000-\\u001f\\u007f-\\u009f\\ufdd0-\\ufdef\\ufffe\\uffff]'
const attribute = (description: string) =>
  Type.String({
    minLength: 1,
    maxLength: MAX_ATTRIBUTE_LENGTH,
    pattern: `^${CHARACTER}+$`,
    description,
  })
const source = Type.String({
  minLength: 1,
  maxLength: MAX_ATTRIBUTE_LENGTH,
  format: 'uri-reference',
  description: `URI reference. Default: ${DEFAULT_SOURCE}.`,
})
const optional = {
  subject: Type.Optional(attribute('Events with the same subject stay in order.')),
  time: Type.Optional(Type.String({ format: 'date-time', description: 'Default: when it was written.' })),
  datacontenttype: Type.Optional(attribute('Media type of data.')),
  dataschema: Type.Optional(Type.String({ format: 'uri', description: 'URI of the schema of data.' })),
}
const base64 = Type.String({
  pattern: '^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$',
  description: 'Binary data (RFC 4648), instead of data.',
})
/** Names of extensions have 1 to 64 lower-case letters and digits. */
const extensions = Type.Union([
  Type.String({ maxLength: MAX_ATTRIBUTE_LENGTH, pattern: `^${CHARACTER}*$` }),
  Type.Integer({ minimum: -(2 ** 31), maximum: 2 ** 31 - 1 }),
  Type.Boolean(),
  Type.Null(),
])
const ShortEvent = Type.Object(
  {
    id: Type.Optional(Type.Union([attribute('Default: made from the place in the log.'), Type.Integer()])),
    source: Type.Optional(source),
    type: Type.Optional(attribute(`Default: ${DEFAULT_TYPE}.`)),
    ...optional,
    data: Type.Unknown({ description: 'Any JSON value.' }),
  },
  { additionalProperties: extensions, description: 'Anything with data; missing attributes are filled in.' },
)
const CloudEvent = Type.Object(
  {
    specversion: Type.Literal('1.0'),
    id: attribute('Unique within its source.'),
    source,
    type: attribute('Kind of event.'),
    ...optional,
    data: Type.Optional(Type.Unknown()),
    data_base64: Type.Optional(base64),
  },
  {
    additionalProperties: extensions,
    not: { required: ['data', 'data_base64'] },
    description: 'CloudEvents 1.0; further attributes are extensions.',
  },
)
const Accepted = Type.Object(
  {
    accepted: Type.Integer({ minimum: 0, description: 'Events that are durable now; 0 for an empty array.' }),
    ack: Type.Optional(Type.Literal('memory', { description: 'Present when ACK=memory: queued, not yet durable.' })),
    duplicates: Type.Optional(
      Type.Integer({ minimum: 1, description: 'Of these, events that were stored before and were not stored again.' }),
    ),
    rejected: Type.Optional(Rejected),
  },
  { $id: 'Accepted' },
)

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

/** Schemas that others refer to by their `$id`. */
export const SHARED = [Problem, Accepted]

export const ROUTES: readonly { method: 'GET' | 'POST'; url: string; schema: FastifySchema }[] = [
  { method: 'POST', url: '/v1/events', schema: events },
  { method: 'POST', url: '/v1/hooks/:name', schema: hook },
  {
    method: 'GET',
    url: '/health/live',
    schema: { summary: 'The process runs', tags: ['health'], response: { 200: Live } },
  },
  {
    method: 'GET',
    url: '/health/ready',
    schema: { summary: 'The service can take events', tags: ['health'], response: { 200: Ready, 503: Ready } },
  },
]
