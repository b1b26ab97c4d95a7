/**
 * Schemas of request and response bodies of the public routes, for readers: documented-routes.ts uses them. They validate
 * nothing.
 */
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

export const Problem = Type.Object(
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
export const ShortEvent = Type.Object(
  {
    id: Type.Optional(Type.Union([attribute('Default: made from the place in the log.'), Type.Integer()])),
    source: Type.Optional(source),
    type: Type.Optional(attribute(`Default: ${DEFAULT_TYPE}.`)),
    ...optional,
    data: Type.Unknown({ description: 'Any JSON value.' }),
  },
  { additionalProperties: extensions, description: 'Anything with data; missing attributes are filled in.' },
)
export const CloudEvent = Type.Object(
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
export const Accepted = Type.Object(
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
