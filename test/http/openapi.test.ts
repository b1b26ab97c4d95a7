/** The OpenAPI document says what the service does: it is valid, and requests made from it get only what it documents. */
import { Validator } from '@seriousme/openapi-schema-validator'
import fc from 'fast-check'
import { Check } from 'typebox/schema'
import { describe, expect, test } from 'vitest'
import { openHooks } from '../../app/hooks/secrets.ts'
import { startHttp } from '../support/http.ts'

type Json = Record<string, unknown>
interface Operation {
  requestBody?: { content: Record<string, { schema: Json }> }
  responses: Record<string, { content?: Record<string, { schema: Json }> }>
}
interface Document {
  paths: Record<string, Record<string, Operation>>
  components: { schemas: Record<string, Json> }
}

async function fetchDocument(url: string): Promise<Document> {
  return (await (await fetch(`${url}/openapi.json`)).json()) as Document
}

/** The schema with every `$ref` replaced by what it refers to. */
function inline(schema: unknown, document: Document): unknown {
  if (Array.isArray(schema)) return schema.map((item) => inline(item, document))
  if (typeof schema !== 'object' || schema === null) return schema
  const { $ref, ...rest } = schema as Json
  if (typeof $ref === 'string') return inline(document.components.schemas[$ref.split('/').at(-1) ?? ''], document)
  return Object.fromEntries(Object.entries(rest).map(([name, value]) => [name, inline(value, document)]))
}

/** Values that a JSON schema allows; knows the keywords that the document uses and says so when there are others. */
function valuesOf(schema: Json): fc.Arbitrary<unknown> {
  const { type, anyOf, const: constant, enum: values, properties, required = [], items, pattern, format } = schema
  const { additionalProperties, not } = schema
  if (constant !== undefined) return fc.constant(constant)
  if (values !== undefined) return fc.constantFrom(...(values as unknown[]))
  if (anyOf !== undefined) return fc.oneof(...(anyOf as Json[]).map(valuesOf))
  switch (type) {
    case undefined:
      return fc.jsonValue()
    case 'integer': {
      const { minimum = Number.MIN_SAFE_INTEGER, maximum = Number.MAX_SAFE_INTEGER } = schema as Record<string, number>
      return fc.integer({ min: minimum, max: maximum })
    }
    case 'boolean':
      return fc.boolean()
    case 'null':
      return fc.constant(null)
    case 'string': {
      if (format === 'date-time')
        return fc.date({ noInvalidDate: true, min: new Date(0), max: new Date(4e12) }).map((date) => date.toISOString())
      if (format === 'uri') return fc.webUrl()
      if (format === 'uri-reference')
        return fc.oneof(
          fc.webUrl(),
          fc.webPath().filter((path) => path !== ''),
        )
      const { minLength = 0, maxLength = 100 } = schema as { minLength?: number; maxLength?: number }
      const fits = (text: string) => text.length >= minLength && text.length <= maxLength
      if (typeof pattern === 'string') return fc.stringMatching(new RegExp(pattern)).filter(fits)
      return fc.string({ minLength, maxLength: Math.min(maxLength, 100) })
    }
    case 'array':
      return fc.array(valuesOf(items as Json), { minLength: Number(schema.minItems ?? 0), maxLength: 4 })
    case 'object': {
      const record = Object.fromEntries(
        Object.entries(properties as Record<string, Json>).map(([name, value]) => [name, valuesOf(value)]),
      )
      const known = fc.record(record, { requiredKeys: required as string[] })
      const name = fc.stringMatching(/^[a-z0-9]{1,20}$/).filter((one) => !(one in record) && one !== 'specversion')
      const others = additionalProperties
        ? fc.dictionary(name, valuesOf(additionalProperties as Json), { maxKeys: 2 })
        : fc.constant({})
      const excluded = (not as { required: string[] } | undefined)?.required
      return fc
        .tuple(others, known)
        .map(([some, more]) => ({ ...some, ...more }))
        .filter((value) => excluded === undefined || !excluded.every((one) => one in value))
    }
    default:
      throw new Error(`no generator for type ${type}`)
  }
}

test('the document is valid OpenAPI 3.1', async () => {
  const { url } = await startHttp()
  const result = await new Validator().validate((await fetchDocument(url)) as unknown as Record<string, unknown>)
  expect(result.errors ?? []).toEqual([])
  expect(result.valid).toBe(true)
})

test('requests made from it are accepted, broken ones refused, and every answer is a documented one', async () => {
  const { url } = await startHttp()
  const document = inline(await fetchDocument(url), await fetchDocument(url)) as Document
  const seen = new Map<string, number>()

  const check = async (path: string, method: string, init: RequestInit): Promise<number> => {
    const response = await fetch(url + path, { ...init, method: method.toUpperCase() })
    const answer = document.paths[path]?.[method]?.responses[response.status]
    expect(answer, `${method} ${path} answered ${response.status}: ${await response.clone().text()}`).toBeDefined()
    const type = (response.headers.get('content-type') ?? '').split(';')[0] ?? ''
    const schema = answer?.content?.[type]?.schema
    expect(schema, `${response.status} as ${type}`).toBeDefined()
    const body = await response.json()
    expect(Check(schema as Json, body), JSON.stringify(body)).toBe(true)
    seen.set(`${method} ${path} ${response.status}`, (seen.get(`${method} ${path} ${response.status}`) ?? 0) + 1)
    return response.status
  }

  for (const path of Object.keys(document.paths).filter((path) => path.startsWith('/health'))) {
    expect(await check(path, 'get', {})).toBe(200)
  }

  const content = document.paths['/v1/events']?.post?.requestBody?.content ?? {}
  expect(Object.keys(content)).toHaveLength(4)
  const oneEvent = (content['application/json'] as { schema: { anyOf: [Json] } }).schema.anyOf[0]
  for (const [type, { schema }] of Object.entries(content)) {
    const headers = { 'content-type': type }
    const bodies =
      type === 'application/x-ndjson'
        ? fc
            .array(valuesOf(oneEvent), {
              minLength: 1,
              maxLength: 5,
            })
            .map((events) => events.map((event) => JSON.stringify(event)).join('\n'))
        : valuesOf(schema).map((value) => JSON.stringify(value))
    await fc.assert(
      fc.asyncProperty(bodies, async (body) => {
        expect(await check('/v1/events', 'post', { headers, body }), body).toBe(202)
      }),
      { numRuns: 100 },
    )
    // The same with something wrong: any answer will do, as long as it is documented.
    const broken = fc.oneof(
      fc.json(),
      fc.string(),
      fc.tuple(bodies, fc.nat(), fc.string({ maxLength: 3 })).map(([body, at, noise]) => {
        const place = at % (body.length + 1)
        return body.slice(0, place) + noise + body.slice(place + 1)
      }),
    )
    const types = fc.constantFrom(type, 'text/plain', 'application/json', 'application/x-ndjson', 'x')
    const encodings = fc.constantFrom(undefined, undefined, 'gzip', 'br', 'zstd', 'deflate', 'rot13')
    await fc.assert(
      fc.asyncProperty(broken, types, encodings, async (body, other, encoding) => {
        const status = await check('/v1/events', 'post', {
          headers: { 'content-type': other, ...(encoding && { 'content-encoding': encoding }) },
          body,
        })
        expect([202, 400, 415, 422]).toContain(status)
      }),
      { numRuns: 150 },
    )
  }
  console.error(`  answers: ${[...seen].map(([what, count]) => `${what} × ${count}`).join(', ')}`)
}, 60_000)

describe('every route', () => {
  const HOOKS = openHooks('f.ts', { it: { provider: 'github', secretVariables: ['S'] } }, { S: 'a-secret-of-16-bytes' })
  const start = () =>
    startHttp({ API_KEYS: 'page:pk_0123456789abcdef type=a rate=1 origin=https://a.example' }, undefined, HOOKS)

  test('of the listener is in the document, but for the page that shows it; nothing there reads events', async () => {
    const { server, url } = await start()
    const { paths } = await fetchDocument(url)
    // `/v1/events (POST, OPTIONS)`, as the router has them.
    const routes = [...server.printRoutes({ commonPrefix: false }).matchAll(/(\/\S*) \(([A-Z, ]+)\)/g)]
    const found = routes.map(([, path = '', methods = '']) => [path, methods.split(', ')] as const)
    const listed = found.filter(([path]) => !path.startsWith('/docs'))
    expect(listed.length).toBeGreaterThanOrEqual(5)
    for (const [path, methods] of listed) {
      const documented = paths[path.replace('/v1/hooks/it', '/v1/hooks/{name}')] ?? {}
      expect([path, Object.keys(documented)]).toEqual([
        path,
        expect.arrayContaining(methods.map((one) => one.toLowerCase())),
      ])
    }
    const reading = Object.entries(paths).filter(([, operations]) => 'get' in operations)
    expect(reading.map(([path]) => path).sort()).toEqual(['/health/live', '/health/ready', '/openapi.json'])
  })

  test('answers OPTIONS and HEAD as the document says, without a key', async () => {
    const { url } = await start()
    const { paths } = await fetchDocument(url)
    for (const [template, operations] of Object.entries(paths)) {
      const path = url + template.replace('{name}', 'it')
      const { status, headers } = await fetch(path, { method: 'OPTIONS' })
      const allowed = (headers.get('allow') ?? '').toLowerCase().split(', ').sort()
      expect([template, status, allowed]).toEqual([template, 204, Object.keys(operations).sort()])
      expect(operations.options?.responses[204]).toHaveProperty(['headers', 'allow'])
      if ('head' in operations) expect((await fetch(path, { method: 'HEAD' })).status).toBe(200)
    }
  })
})

test('the docs page is served', async () => {
  const { url } = await startHttp()
  const response = await fetch(`${url}/docs/static/index.html`)
  expect([response.status, await response.text()]).toEqual([200, expect.stringContaining('swagger-ui')])
})
