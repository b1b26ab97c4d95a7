/** STAMP_SENDER and TRUSTED_PROXIES through the real listener: where an event came from. */
import { request as send } from 'node:http'
import fc from 'fast-check'
import { fastify } from 'fastify'
import { describe, expect, test } from 'vitest'
import { loadConfig } from '../../app/config.ts'
import { stamped } from '../../app/http/stamps.ts'
import { type Harness, post, raw, startHttp } from '../support/http.ts'

const KEY = '0123456789abcdef'
const AGENT = 'Mozilla/5.0 (X11; "quoted" \\ back)'
const NDJSON = { 'content-type': 'application/x-ndjson' }
const both = (more: Record<string, string> = {}) => startHttp({ STAMP_SENDER: 'address,useragent', ...more })
const first = async (http: Harness) => JSON.parse((await http.stored())[0] ?? '')

describe('STAMP_SENDER', () => {
  test('each event says which address and which user agent it came from, and keeps its bytes otherwise', async () => {
    const http = await both()
    expect((await post(http, '{"data":1.0}\n{ "data" : 2 }', { ...NDJSON, 'user-agent': AGENT })).status).toBe(202)
    const where = `"clientaddress":"127.0.0.1","useragent":${JSON.stringify(AGENT)},`
    expect(await http.stored()).toEqual([`{${where}"data":1.0}`, `{${where} "data" : 2 }`])
  })

  test('one of the two is enough', async () => {
    const address = await startHttp({ STAMP_SENDER: 'address' })
    expect((await post(address, '{"useragent":"mine","data":1}')).status).toBe(202)
    expect(await first(address)).toEqual({ clientaddress: '127.0.0.1', useragent: 'mine', data: 1 })
    const agent = await startHttp({ STAMP_SENDER: 'useragent' })
    expect((await post(agent, '{"clientaddress":"mine","data":1}', { 'user-agent': 'a' })).status).toBe(202)
    expect(await first(agent)).toEqual({ useragent: 'a', clientaddress: 'mine', data: 1 })
  })

  test('nothing is written by default', async () => {
    const http = await startHttp()
    expect((await post(http, '{"data":1}', { 'user-agent': AGENT })).status).toBe(202)
    expect(await http.stored()).toEqual(['{"data":1}'])
  })

  test('together with STAMP_CLIENT and a trace, all of it is there, at its longest', async () => {
    const name = 'n'.repeat(64)
    const http = await both({ STAMP_CLIENT: 'authid', API_KEYS: `${name}:${KEY}` })
    const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'
    const headers = { authorization: `Bearer ${KEY}`, traceparent, 'user-agent': '\\'.repeat(2000) }
    expect((await post(http, '{"data":1}', headers)).status).toBe(202)
    expect(await first(http)).toEqual({
      ...{ traceparent, authtype: 'api_key', authid: name, clientaddress: '127.0.0.1', data: 1 },
      useragent: '\\'.repeat(300),
    })
  })

  test('a client without a user agent has none; bytes that are no ASCII become question marks', async () => {
    const http = await both()
    const request = (line: string) =>
      `POST /v1/events HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n${line}Content-Type: application/json\r\n` +
      'Content-Length: 10\r\n\r\n{"data":1}'
    expect(await raw(http, request(''))).toMatch(/^HTTP\/1.1 202 /)
    expect(await raw(http, request('User-Agent: a\tbé\r\n'))).toMatch(/^HTTP\/1.1 202 /)
    expect((await http.stored()).map((line) => JSON.parse(line))).toEqual([
      { clientaddress: '127.0.0.1', data: 1 },
      { clientaddress: '127.0.0.1', useragent: 'a?b??', data: 1 },
    ])
  })

  test.each([
    '{"data":1,"clientaddress":"10.0.0.1"}',
    '{"data":1,"useragent":"curl"}',
    '{"data":1,"useragent":null}',
    '{"data":1,"clientaddress":7}',
    '{"data":1,"\\u0075seragent":"curl"}',
  ])('%s says so itself, and is rejected', async (event) => {
    const http = await both()
    const response = await post(http, `${event}\n{"data":2}`, NDJSON)
    const reason = expect.stringMatching(/STAMP_SENDER.*leave them out|written with escapes/)
    expect([response.status, await response.json()]).toEqual([202, { accepted: 1, rejected: [{ index: 0, reason }] }])
    expect((await http.stored()).map((line) => JSON.parse(line).data)).toEqual([2])
  })

  test('neither of them is logged, whatever becomes of the request', async () => {
    const http = await both({ API_KEYS: `shop:${KEY}`, TRUSTED_PROXIES: '127.0.0.1', LOG_LEVEL: 'trace' })
    const headers = { 'user-agent': 'secret-agent', 'x-forwarded-for': '203.0.113.77' }
    for (const [body, authorization] of [
      ['{"data":1}', `Bearer ${KEY}`],
      ['{', `Bearer ${KEY}`],
      ['{"data":1}', 'Bearer no'],
    ] as const)
      await post(http, body, { ...headers, authorization })
    expect(await first(http)).toMatchObject({ clientaddress: '203.0.113.77', useragent: 'secret-agent' })
    expect(http.logged.join('')).not.toMatch(/secret-agent|203\.0\.113\.77/)
  })

  test('property: any user agent, any address, any events: each has both, and none loses anything', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: 'binary', minLength: 1, maxLength: 400 }),
        fc.oneof(fc.ipV4(), fc.ipV6()),
        fc.array(fc.jsonValue(), { minLength: 1, maxLength: 20 }),
        (userAgent, address, list) => {
          const principal = { authtype: 'service_account', authid: '\u{ffff}'.repeat(256) }
          const lines = Buffer.from(list.map((data) => JSON.stringify({ data })).join('\n'))
          const got = stamped(lines, { principal, address, userAgent }).toString().split('\n')
          for (const [at, line] of got.entries()) {
            const { data, clientaddress, useragent } = JSON.parse(line)
            expect(JSON.stringify(data)).toBe(JSON.stringify(list[at]))
            expect(clientaddress).toBe(address)
            expect(useragent).toMatch(/^[\x20-\x7e]{1,300}$/)
          }
          expect(got).toHaveLength(list.length)
        },
      ),
    )
  })
})

describe('TRUSTED_PROXIES', () => {
  const forwarded = async (http: Harness, text: string) => {
    expect((await post(http, '{"data":1}', { 'x-forwarded-for': text })).status).toBe(202)
    return JSON.parse((await http.stored()).at(-1) ?? '').clientaddress
  }

  test('without it, nobody is believed', async () => {
    expect(await forwarded(await both(), '203.0.113.7')).toBe('127.0.0.1')
  })

  test('a connection from elsewhere is not believed', async () => {
    expect(await forwarded(await both({ TRUSTED_PROXIES: '10.0.0.0/8' }), '203.0.113.7')).toBe('127.0.0.1')
  })

  test.each([
    [
      'the address that the proxy has added, not one that the client has invented',
      '8.8.8.8, 203.0.113.7',
      '203.0.113.7',
    ],
    ['the one in front of several proxies', '8.8.8.8, 203.0.113.7, 10.1.2.3', '203.0.113.7'],
    ['an IPv6 address', '2001:db8::7', '2001:db8::7'],
    ['an IPv4 address in the clothes of IPv6', '::ffff:203.0.113.7', '203.0.113.7'],
    ['an address with a zone', 'fe80::1%eth0', 'fe80::1'],
    ['a zone without end', `fe80::1%${'a'.repeat(3000)}`, 'fe80::1'],
    ['no address at all: the event has none', 'x"y', undefined],
    ['an address with a port: the event has none', '203.0.113.7:4711', undefined],
  ])('%s', async (_, header, expected) => {
    expect(await forwarded(await both({ TRUSTED_PROXIES: '127.0.0.0/8,10.0.0.0/8' }), header)).toBe(expected)
  })

  test('property: what the configuration takes, the listener takes as well', () => {
    const range = fc.oneof(
      fc.tuple(fc.ipV4(), fc.option(fc.integer({ min: -1, max: 40 }))),
      fc.tuple(fc.ipV6(), fc.option(fc.integer({ min: -1, max: 140 }))),
    )
    let taken = 0
    fc.assert(
      fc.property(fc.array(range, { minLength: 1, maxLength: 4 }), (ranges) => {
        const text = ranges.map(([address, bits]) => (bits === null ? address : `${address}/${bits}`))
        let proxies: readonly string[]
        try {
          proxies = loadConfig({ TRUSTED_PROXIES: text.join() }).TRUSTED_PROXIES
        } catch {
          return
        }
        fastify({ trustProxy: [...proxies] })
        taken += 1
      }),
      { numRuns: 300 },
    )
    expect(taken).toBeGreaterThan(100)
  })

  test('without keys, the limits are for the address in front of the proxy', async () => {
    const http = await startHttp({ TRUSTED_PROXIES: '127.0.0.1', QUOTA_EVENTS_PER_SECOND: '1' })
    const from = async (address: string) => {
      const body = JSON.stringify(Array.from({ length: 10 }, () => ({ data: 1 })))
      return (await post(http, body, { 'x-forwarded-for': address })).status
    }
    expect([await from('203.0.113.7'), await from('203.0.113.7'), await from('203.0.113.8')]).toEqual([202, 429, 202])
  })

  test('only the address is believed: the host of a request stays its own', async () => {
    const http = await both({ TRUSTED_PROXIES: '127.0.0.1' })
    const status = await new Promise((resolve, reject) => {
      const headers = { host: 'evil.example', 'x-forwarded-host': 'localhost', 'content-type': 'application/json' }
      const sent = send(`${http.url}/v1/events`, { method: 'POST', headers }, ({ statusCode }) => resolve(statusCode))
      sent.on('error', reject).end('{"data":1}')
    })
    expect(status).toBe(403)
  })

  test.each([
    '1',
    'proxy',
    '10.0.0.0/33',
    '10.0.0.0/0',
    '::1/129',
    '10.0.0/8',
    '10.0.0.0/8/8',
    'fe80::1%a',
    '::ffff:10.0.0.0/104',
  ])('%s ends the start: it is no address and no range', (proxies) => {
    expect(() => loadConfig({ TRUSTED_PROXIES: proxies })).toThrow(
      expect.objectContaining({
        code: 'CONFIG_INVALID',
        message: expect.stringMatching(/^TRUSTED_PROXIES: .*10\.0\.0\.0\/16/),
      }),
    )
  })
})
