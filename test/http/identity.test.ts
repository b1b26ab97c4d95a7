/** What a client may send, and how an event says who sent it, through the real listener. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { loadConfig } from '../../app/config.ts'
import { stamped } from '../../app/http/stamps.ts'
import { type Harness, post, startHttp } from '../support/http.ts'

const KEY = '0123456789abcdef'
const BEARER = { authorization: `Bearer ${KEY}` }
const NDJSON = { ...BEARER, 'content-type': 'application/x-ndjson' }
const scoped = (words: string) => startHttp({ API_KEYS: `shop:${KEY} ${words},free:fedcba9876543210` })

async function expectOutOfScope(http: Harness, body: string, detail: RegExp, headers: Record<string, string> = BEARER) {
  const response = await post(http, body, headers)
  const problem = (await response.json()) as { type: string; detail: string }
  expect([response.status, problem.type], problem.detail).toEqual([403, 'urn:millrace:problem:out-of-scope'])
  expect(problem.detail).toMatch(detail)
  expect(response.headers.get('www-authenticate')).toBe('Bearer realm="millrace", error="insufficient_scope"')
  expect(await http.stored()).toEqual([])
}

describe('a key with a scope', () => {
  test('sends what its patterns match; a key without one sends anything', async () => {
    const http = await scoped('type=order.* type=cart.full source=/shop/*')
    const events = [
      { type: 'order.created', source: '/shop/1', data: 1 },
      { type: 'cart.full', source: '/shop/', data: 1 },
    ]
    expect((await post(http, JSON.stringify(events), BEARER)).status).toBe(202)
    const free = { authorization: 'Bearer fedcba9876543210' }
    expect((await post(http, '{"type":"other","data":1}', free)).status).toBe(202)
    expect(await http.stored()).toHaveLength(3)
  })

  test.each([
    ['a type', '{"type":"refund","source":"/shop/1","data":1}', /event 0: .*type "refund", only order\.\*$/],
    ['a source', '{"type":"order.a","source":"/bank","data":1}', /event 0: .*source "\/bank", only \/shop\/\*$/],
    ['no type, which is "event"', '{"source":"/shop/1","data":1}', /type "event"/],
    ['no source, which is "millrace"', '{"type":"order.a","data":1}', /source "millrace"/],
    ['a type that is null', '{"type":null,"source":"/shop/1","data":1}', /type "event"/],
    ['a type with escapes', '{"type":"ref\\u0075nd","source":"/shop/1","data":1}', /type "refund"/],
  ])('%s outside of it: 403, and nothing is stored', async (_, event, detail) => {
    await expectOutOfScope(await scoped('type=order.* source=/shop/*'), event, detail)
  })

  test('one event outside of it refuses the whole request, named by its place', async () => {
    const http = await scoped('type=order.*')
    const lines = ['{"type":"order.a","data":1}', '{"id":1}', '{"type":"b","data":1}'].join('\n')
    await expectOutOfScope(http, lines, /^event 2: /, NDJSON)
    const allowed = '{"specversion":"1.0","id":"a","source":"/s","type":"order.a"}'
    const batch = { ...BEARER, 'content-type': 'application/cloudevents-batch+json' }
    await expectOutOfScope(http, `[${allowed},${allowed.replace('order.a', 'b')}]`, /^event 1: /, batch)
    const binary = { ...BEARER, 'ce-specversion': '1.0', 'ce-id': 'a', 'ce-source': '/s', 'ce-type': 'b' }
    await expectOutOfScope(http, '1', /^event 0: /, binary)
    expect(http.counts.refusedRequestsTotal.get('out_of_scope')).toBe(3)
  })

  test('a type in another spelling is no way around it', async () => {
    const http = await scoped('type=event')
    const response = await post(http, '{"\\u0074ype":"refund","data":1}', BEARER)
    expect([response.status, await http.stored()]).toEqual([422, []])
  })

  test('property: what is stored is within the scope, however it is written', async () => {
    const http = await scoped('type=order.* source=/shop/*')
    const spelt = (text: string) =>
      fc
        .array(fc.boolean(), { minLength: text.length, maxLength: text.length })
        .map((escapes) =>
          [...text].map((c, at) => (escapes[at] ? `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}` : c)).join(''),
        )
    const member = fc
      .tuple(fc.constantFrom('type', 'source', 'subject'), fc.constantFrom('order.a', 'b', '/shop/1', '/b'))
      .chain(([name, value]) =>
        fc.tuple(fc.oneof(fc.constant(name), spelt(name)), fc.oneof(fc.constant(value), spelt(value))),
      )
    await fc.assert(
      fc.asyncProperty(fc.array(member, { maxLength: 4 }), async (members) => {
        const text = `{${[...members, ['data', '1']].map(([name, value]) => `"${name}":"${value}"`).join()}}`
        const { status } = await post(http, text, BEARER)
        const { type = 'event', source = 'millrace' } = JSON.parse(text)
        const isWithin = String(type).startsWith('order.') && String(source).startsWith('/shop/')
        if (status === 202) expect(isWithin, text).toBe(true)
        else expect([403, 422], text).toContain(status)
      }),
      { numRuns: 150 },
    )
  })
})

describe('STAMP_CLIENT=authid', () => {
  const stamping = (more: Record<string, string> = {}) =>
    startHttp({ API_KEYS: `shop:${KEY}`, STAMP_CLIENT: 'authid', ...more })

  test('each event says which key has sent it, and keeps its bytes otherwise', async () => {
    const http = await stamping()
    expect(
      (await post(http, '{"data":1.0}\n{"id":12345678901234567890,"data":"x"}\n{ "data" : 2 }', NDJSON)).status,
    ).toBe(202)
    const binary = { ...BEARER, 'ce-specversion': '1.0', 'ce-id': 'a', 'ce-source': '/s', 'ce-type': 't' }
    expect((await post(http, '1', binary)).status).toBe(202)
    const who = '"authtype":"api_key","authid":"shop",'
    expect(await http.stored()).toEqual([
      `{${who}"data":1.0}`,
      `{${who}"id":12345678901234567890,"data":"x"}`,
      `{${who} "data" : 2 }`,
      `{${who}"specversion":"1.0","id":"a","source":"/s","type":"t","datacontenttype":"application/json","data":1}`,
    ])
  })

  test('together with a trace, both are there', async () => {
    const http = await stamping()
    const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'
    expect((await post(http, '{"data":1}', { ...BEARER, traceparent })).status).toBe(202)
    expect(JSON.parse((await http.stored())[0] ?? '')).toEqual({
      traceparent,
      authtype: 'api_key',
      authid: 'shop',
      data: 1,
    })
  })

  test.each([
    '{"data":1,"authid":"boss"}',
    '{"data":1,"authtype":"system"}',
    '{"data":1,"authclaims":"{}"}',
    '{"data":1,"authid":null}',
    '{"data":1,"authid":7}',
    '{"data":1,"\\u0061uthid":"boss"}',
  ])('%s says so itself, and is rejected', async (event) => {
    const http = await stamping()
    const response = await post(http, `${event}\n{"data":2}`, NDJSON)
    expect([response.status, await response.json()]).toEqual([
      202,
      { accepted: 1, rejected: [{ index: 0, reason: expect.stringMatching(/leave them out|written with escapes/) }] },
    ])
    expect(await http.stored()).toEqual(['{"authtype":"api_key","authid":"shop","data":2}'])
  })

  test("without it, these attributes are the sender's own", async () => {
    const http = await startHttp({ API_KEYS: `shop:${KEY}` })
    expect((await post(http, '{"data":1,"authid":"me","authtype":"user"}', BEARER)).status).toBe(202)
    expect(await http.stored()).toEqual(['{"data":1,"authid":"me","authtype":"user"}'])
  })

  test('what grows past the limit by it is refused, and not stored without it', async () => {
    const http = await stamping({ MAX_BODY_BYTES: '20000' })
    const lines = '{"data":1}\n'.repeat(1000)
    const response = await post(http, lines, NDJSON)
    expect([response.status, ((await response.json()) as { type: string }).type]).toEqual([
      413,
      'urn:millrace:problem:body-too-large',
    ])
    expect(await http.stored()).toEqual([])
  })

  test('needs clients that say who they are', () => {
    expect(() => loadConfig({ STAMP_CLIENT: 'authid' })).toThrow(/^STAMP_CLIENT: clients have no name/)
  })

  test('property: any name, any events: each has the name, and none loses anything', () => {
    const name = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 60 })
    fc.assert(
      fc.property(name, fc.array(fc.jsonValue(), { minLength: 1, maxLength: 20 }), (authid, list) => {
        const lines = Buffer.from(list.map((data) => JSON.stringify({ data })).join('\n'))
        const got = stamped(lines, { principal: { authtype: 'user', authid } })
          .toString()
          .split('\n')
        expect(got.map((line) => JSON.parse(line))).toEqual(
          list.map((data) => JSON.parse(JSON.stringify({ authtype: 'user', authid, data }))),
        )
      }),
    )
  })
})
