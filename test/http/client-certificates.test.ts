/** Client certificates as identity: which client it is, what it may send, and what its events say. */
import { writeFileSync } from 'node:fs'
import { Agent } from 'node:https'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { loadConfig } from '../../app/config.ts'
import { Authority, CANNOT_MAKE_CERTIFICATES, type Pair } from '../support/certificates.ts'
import { type Harness, startHttp } from '../support/http.ts'
import { until } from '../support/service.ts'
import { temporaryDirectory } from '../support/temporary.ts'
import { handshake, send, variablesOf } from '../support/tls-client.ts'

const suite = CANNOT_MAKE_CERTIFICATES === undefined ? describe : describe.skip
const because = CANNOT_MAKE_CERTIFICATES === undefined ? '' : ` (skipped: ${CANNOT_MAKE_CERTIFICATES})`
const KEY = '0123456789abcdef'

async function open(environment: Record<string, string> = {}) {
  const [authority, clients] = [new Authority(), new Authority('clients')]
  const tls = variablesOf(authority.issue('server'), clients.ca)
  const http = await startHttp({ ...tls, ...environment })
  const from = async (pair: Pair, more: { agent?: Agent; authorization?: string } = {}) =>
    (await send(http.url, { ca: authority.ca, ...pair, ...more })).status
  return { authority, clients, http, from }
}

const storedBy = async (http: Harness) =>
  (await http.stored()).map((line) => JSON.parse(line)).map(({ authtype, authid }) => [authtype, authid])

suite(`who sends, by its certificate${because}`, () => {
  test('without keys, each certificate is a client, named by its common name, else by another name, else by its fingerprint', async () => {
    const { clients, http, from } = await open({ STAMP_CLIENT: 'authid' })
    const names = 'URI:spiffe://shop.example/till/7,DNS:till-7.shop.example'
    const [common, uri, none] = [
      clients.issue('client', { subject: '/O=Shop/CN=till-7' }),
      clients.issue('client', { subject: '/O=Shop', names }),
      clients.issue('client', { subject: '/O=Shop' }),
    ]
    for (const pair of [common, uri, none]) expect(await from(pair)).toBe(202)
    expect(await storedBy(http)).toEqual([
      ['service_account', 'till-7'],
      ['service_account', 'spiffe://shop.example/till/7'],
      ['service_account', expect.stringMatching(/^([\dA-F]{2}:){31}[\dA-F]{2}$/)],
    ])
  })

  test('it has limits of its own, wherever it connects from', async () => {
    const { clients, from } = await open({ RATE_LIMIT_REQUESTS_PER_SECOND: '1' })
    const [one, other] = [
      clients.issue('client', { subject: '/CN=one' }),
      clients.issue('client', { subject: '/CN=two' }),
    ]
    expect(await Promise.all([from(one), from(other)])).toEqual([202, 202])
    expect(await Promise.all([from(one), from(one)])).toContain(429)
  })

  test('a connection that is resumed is the same client', async () => {
    const { clients, http, authority } = await open({ STAMP_CLIENT: 'authid' })
    const pair = clients.issue('client', { subject: '/CN=till-7' })
    const agent = new Agent({ keepAlive: false, maxCachedSessions: 10 })
    onTestFinished(() => agent.destroy())
    for (let round = 0; round < 3; round++) {
      expect((await send(http.url, { ca: authority.ca, ...pair, agent })).status).toBe(202)
    }
    expect(await storedBy(http)).toEqual(new Array(3).fill(['service_account', 'till-7']))
    const first = await handshake(http.url, { ca: authority.ca, ...pair, maxVersion: 'TLSv1.2' })
    const again = await handshake(http.url, {
      ca: authority.ca,
      ...pair,
      maxVersion: 'TLSv1.2',
      session: first.getSession(),
    })
    expect(again.isSessionReused()).toBe(true)
    again.write(
      'POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n{"data":1}',
    )
    await until(async () => (await http.stored()).length === 4, 5000, 'it is stored')
    expect((await storedBy(http)).at(-1)).toEqual(['service_account', 'till-7'])
  })
})

suite(`certificates that API_KEYS names${because}`, () => {
  const keys = `shop:${KEY},till:cert:till-7 type=event,spiffe:cert:spiffe://shop.example/a type=order.*`

  test('send without a key, under the name of the entry, and within its scope', async () => {
    const { clients, http, from } = await open({ API_KEYS: keys, STAMP_CLIENT: 'authid' })
    const till = clients.issue('client', { subject: '/CN=till-7' })
    const spiffe = clients.issue('client', { subject: '/CN=x', names: 'URI:spiffe://shop.example/a' })
    expect([await from(till), await from(spiffe)]).toEqual([202, 403])
    expect(await storedBy(http)).toEqual([['service_account', 'till']])
  })

  test('one that is not named needs a key; a key that is sent counts alone', async () => {
    const { clients, http, from } = await open({ API_KEYS: keys, STAMP_CLIENT: 'authid' })
    const till = clients.issue('client', { subject: '/CN=till-7' })
    const other = clients.issue('client', { subject: '/CN=till-77' })
    expect(await from(other)).toBe(401)
    expect(await from(other, { authorization: `Bearer ${KEY}` })).toBe(202)
    expect(await from(till, { authorization: `Bearer ${KEY}` })).toBe(202)
    expect(await from(till, { authorization: 'Bearer wrong-key-0123456789' })).toBe(401)
    expect(await storedBy(http)).toEqual(new Array(2).fill(['api_key', 'shop']))
  })

  test('a name of another authority is nothing: the handshake refuses it', async () => {
    const { from } = await open({ API_KEYS: keys })
    await expect(from(new Authority('others').issue('client', { subject: '/CN=till-7' }))).rejects.toThrow()
  })

  test.each([
    ['a common name with the separator in it', '/CN=x, DNS:till-7', ''],
    ['an alternative name with the separator in it', '/CN=x', '@all\n[all]\nURI.1=urn:x, DNS:till-7, URI:y'],
    ['another part of the subject', '/O=till-7/CN=x', ''],
    ['an address', '/CN=x', 'IP:127.0.0.1'],
  ])('%s is not that name', async (_, subject, names) => {
    const { clients, from } = await open({ API_KEYS: keys })
    expect(await from(clients.issue('client', { subject, names }))).toBe(401)
  })

  test('entries are added and taken away while it runs, also for connections that are open', async () => {
    const file = join(temporaryDirectory(), 'keys')
    writeFileSync(file, 'till:cert:till-7\n')
    const { clients, from, authority } = await open({ API_KEYS_FILE: file })
    const [seven, eight] = ['7', '8'].map((at) => clients.issue('client', { subject: `/CN=till-${at}` })) as [
      Pair,
      Pair,
    ]
    const kept = (pair: Pair) => new Agent({ keepAlive: true, maxSockets: 1, ca: authority.ca, ...pair })
    const [ofSeven, ofEight] = [kept(seven), kept(eight)]
    onTestFinished(() => {
      ofSeven.destroy()
      ofEight.destroy()
    })
    const statuses = async () => [await from(seven, { agent: ofSeven }), await from(eight, { agent: ofEight })]
    expect(await statuses()).toEqual([202, 401])
    writeFileSync(file, 'till:cert:till-8\n')
    await until(async () => String(await statuses()) === '401,202', 10_000, 'the other one is taken')
  })

  test('an entry without authorities, and a certificate of two clients, end the start', () => {
    expect(() => loadConfig({ API_KEYS: 'till:cert:till-7' })).toThrow(
      /^API_KEYS: till is known by a certificate: set TLS_/,
    )
    expect(() => loadConfig({ API_KEYS: 'a:cert:till-7,b:cert:till-7' })).toThrow(
      /^API_KEYS: entry 2: the certificate till-7 /,
    )
  })
})
