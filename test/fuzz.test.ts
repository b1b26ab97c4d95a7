/** Whatever comes in: an answer that is meant, quickly, and nothing accepted that another implementation refuses. */
import { CloudEvent } from 'cloudevents'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { MillraceError } from '../app/errors.ts'
import { validate } from '../app/event.ts'
import { readBody } from '../app/http/body.ts'
import { atMost, decoded } from './support/events.ts'
import { headersOf, post, startHttp } from './support/http.ts'

type ReceivedEvent = Readonly<Record<string, unknown>>

const RUNS = Number(process.env.MILLRACE_FUZZ_RUNS ?? 2000)
const MAX_MS = 1000

/** Text that looks like what is meant, spoiled. */
const json = fc.oneof(
  fc.json({ maxDepth: 4 }),
  fc
    .array(fc.record({ id: fc.jsonValue(), data: fc.jsonValue(), type: fc.string() }, { requiredKeys: [] }))
    .map((value) => JSON.stringify(value)),
)
const spoiled = fc.tuple(json, fc.nat(), fc.uint8Array({ maxLength: 4 })).map(([text, at, bytes]) => {
  const whole = Buffer.from(text)
  const place = at % (whole.length + 1)
  return Buffer.concat([whole.subarray(0, place), bytes, whole.subarray(place)])
})
const lines = fc
  .array(fc.oneof(spoiled, fc.uint8Array({ maxLength: 40 })), { maxLength: 20 })
  .map((parts) => Buffer.concat(parts.flatMap((part) => [Buffer.from(part), Buffer.from('\n')])))
const body = fc.oneof(
  spoiled,
  lines,
  fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
)
const type = fc.oneof(
  fc.constantFrom(
    'application/json',
    'application/x-ndjson',
    'application/cloudevents+json',
    'application/cloudevents-batch+json',
    'text/plain',
  ),
  fc.string(),
)
const headerText = fc.string({ unit: 'binary-ascii', maxLength: 60 })
const headers = fc.tuple(
  type,
  fc.dictionary(fc.stringMatching(/^(ce-[a-z0-9-]{0,20}|[a-z-]{1,10})$/), headerText, { maxKeys: 6 }),
)

test('property: a body is events, one JSON text a line, or is refused with a reason, in any format', () => {
  fc.assert(
    fc.property(body, headers, (bytes, [contentType, others]) => {
      const startedAt = performance.now()
      try {
        const read = readBody(bytes, headersOf({ 'content-type': contentType, ...others }), atMost(1000))
        const texts = read.payload.toString().split('\n')
        // An empty array is a batch, and empty.
        if (read.count === 0) return void expect(JSON.parse(bytes.toString())).toEqual([])
        expect(texts.length).toBe(read.count)
        for (const text of texts) expect(validate(JSON.parse(text))).toBeUndefined()
      } catch (error) {
        if (!(error instanceof MillraceError)) throw error
        expect(error.status).toBeGreaterThanOrEqual(400)
        expect(error.status).toBeLessThan(500)
        expect(error.message.length).toBeLessThan(500)
      }
      expect(performance.now() - startedAt).toBeLessThan(MAX_MS)
    }),
    { numRuns: RUNS },
  )
})

/** Attributes as they should be, nearly, or not at all. */
const attribute = fc.oneof(
  fc.string(),
  fc.constantFrom(
    '',
    '/shop',
    'urn:a:b',
    'a b',
    '%41',
    '%zz',
    'http://x/y',
    '1.0',
    '2026-01-31T12:00:00Z',
    '2026-02-31T12:00:00Z',
    '2026-01-31',
    'aGk=',
    'aGk',
  ),
  fc.jsonValue({ maxDepth: 1 }),
)
const known = ['id', 'source', 'type', 'subject', 'time', 'dataschema', 'datacontenttype', 'data', 'data_base64']
const event = fc
  .tuple(
    fc.dictionary(
      fc.oneof(
        { weight: 5, arbitrary: fc.constantFrom(...known) },
        { weight: 1, arbitrary: fc.string({ minLength: 1 }) },
      ),
      attribute,
      { maxKeys: 5 },
    ),
    fc.boolean(),
  )
  .map(
    ([attributes, whole]): ReceivedEvent => ({
      specversion: '1.0',
      ...(whole && { id: 'a', source: '/s', type: 't' }),
      ...attributes,
    }),
  )

/** Where the specification, or its JSON format, allows what the SDK does not. */
const DOCUMENTED: readonly (readonly [string, (event: ReceivedEvent) => boolean])[] = [
  [
    'what stands in the brackets of a host is not read as an address',
    ({ source, dataschema }) => /\/\/.*\[/.test(`${source} ${dataschema}`),
  ],
  [
    'a URI may end behind its scheme (RFC 3986, section 3.3: path-empty)',
    ({ dataschema }) => /^[\w+.-]+:([?#]|$)/.test(String(dataschema)),
  ],
  [
    'a null attribute is an absent one (JSON format, section 2.2)',
    (given) => Object.entries(given).some(([name, value]) => value === null && name !== 'data'),
  ],
]

test('property: a CloudEvent that is accepted is one to the official SDK as well', () => {
  let accepted = 0
  fc.assert(
    fc.property(event, (given) => {
      if (validate(given, 'strict') !== undefined) return
      if (DOCUMENTED.some(([, applies]) => applies(given))) return
      accepted += 1
      const payload = Buffer.from(`${JSON.stringify(given)}\n`)
      const [whole] = decoded({ logId: 'log', baseOffset: 0, count: 1, appendedAtMs: 0, payload })
      expect(() => new CloudEvent(whole as object, true)).not.toThrow()
    }),
    { numRuns: 5 * RUNS },
  )
  expect(accepted).toBeGreaterThan(RUNS / 10)
})

describe('requests', () => {
  test('property: without one of the keys nothing gets in, whatever the header says, and no key is ever shown', async () => {
    const key = '0123456789abcdef'
    const http = await startHttp({ API_KEYS: `shop:${key}` })
    const near = fc.constantFrom(
      'Bearer ',
      `bearer ${key}x`,
      `Bearer  ${key.slice(1)}`,
      `Basic ${key}`,
      `Bearer ${key},Bearer x`,
      key,
      `Bearer ${key.toUpperCase()}`,
    )
    const authorization = fc.oneof(
      near,
      fc.string({
        unit: fc.integer({ min: 0x20, max: 0x7e }).map((code) => String.fromCharCode(code)),
        maxLength: 600,
      }),
    )
    await fc.assert(
      fc.asyncProperty(authorization, async (value) => {
        fc.pre(!/^bearer +0123456789abcdef *$/i.test(value))
        const response = await post(http, '{"data":1}', { authorization: value })
        expect([401, 400]).toContain(response.status)
        expect(await response.text()).not.toContain(key)
      }),
      { numRuns: Math.min(RUNS, 300) },
    )
    expect(http.logged.join()).not.toContain(key)
    expect(await http.stored()).toEqual([])
  })
})
