/** TLS of the public listener, by real clients: what is served and what is refused. */
import { once } from 'node:events'
import { connect as connectTcp } from 'node:net'
import { describe, expect, onTestFinished, test } from 'vitest'
import { loadConfig } from '../../app/config.ts'
import { readTls } from '../../app/http/tls.ts'
import { Authority, CANNOT_MAKE_CERTIFICATES, type Pair } from '../support/certificates.ts'
import { startHttp } from '../support/http.ts'
import { until } from '../support/service.ts'
import { collect, handshake, send, variablesOf } from '../support/tls-client.ts'

const EVENT = '{"data":1}'

const suite = CANNOT_MAKE_CERTIFICATES === undefined ? describe : describe.skip
const because = CANNOT_MAKE_CERTIFICATES === undefined ? '' : ` (skipped: ${CANNOT_MAKE_CERTIFICATES})`

suite(`serving${because}`, () => {
  test('events are taken over TLS 1.3 and 1.2, and the address says https', async () => {
    const authority = new Authority()
    const http = await startHttp(variablesOf(authority.issue('server')))
    expect(http.url).toMatch(/^https:\/\/127\.0\.0\.1:\d+$/)
    for (const maxVersion of ['TLSv1.3', 'TLSv1.2'] as const) {
      const socket = await handshake(http.url, { ca: authority.ca, maxVersion })
      expect([socket.getProtocol(), socket.authorized]).toEqual([maxVersion, true])
      expect((await send(http.url, { ca: authority.ca, maxVersion })).status).toBe(202)
    }
    expect(await http.stored()).toEqual([EVENT, EVENT])
  })

  test('TLS 1.1 is refused', async () => {
    const authority = new Authority()
    const http = await startHttp(variablesOf(authority.issue('server')))
    const old = {
      ca: authority.ca,
      minVersion: 'TLSv1.1',
      maxVersion: 'TLSv1.1',
      ciphers: 'DEFAULT@SECLEVEL=0',
    } as const
    await expect(send(http.url, old)).rejects.toThrow(/alert protocol version/)
  })

  test('HTTP/1.1 is what is agreed on, also with a client that would rather have HTTP/2', async () => {
    const authority = new Authority()
    const http = await startHttp(variablesOf(authority.issue('server')))
    const socket = await handshake(http.url, { ca: authority.ca, ALPNProtocols: ['h2', 'http/1.1'] })
    expect(socket.alpnProtocol).toBe('http/1.1')
  })

  test('plain HTTP, and a client that says nothing, are cut off; others are served', async () => {
    const authority = new Authority()
    const http = await startHttp({ ...variablesOf(authority.issue('server')), LOG_LEVEL: 'debug' })
    const port = Number(new URL(http.url).port)
    const silent = connectTcp(port, '127.0.0.1')
    const plain = connectTcp(port, '127.0.0.1').on('error', () => undefined)
    onTestFinished(() => void silent.destroy())
    plain.resume().write('GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n')
    await once(plain, 'close')
    expect((await send(http.url, { ca: authority.ca })).status).toBe(202)
    await once(silent.resume(), 'close')
    await until(
      () => http.logged.some((line) => /a TLS connection failed.*|TLS_HANDSHAKE_TIMEOUT/.test(line)),
      5000,
      'said',
    )
    expect([...http.counts.refusedRequestsTotal].filter(([, count]) => count > 0)).toEqual([])
  }, 15_000)

  test('a body over the limit: a client that writes before it reads sees 413', async () => {
    const authority = new Authority()
    const http = await startHttp(variablesOf(authority.issue('server')))
    const socket = await handshake(http.url, { ca: authority.ca })
    socket.pause()
    const size = 5 * 1024 * 1024
    const head = [
      'POST /v1/events HTTP/1.1',
      'Host: localhost',
      'Content-Type: application/json',
      `Content-Length: ${size}`,
    ]
    socket.write(`${head.join('\r\n')}\r\n\r\n`)
    for (let sent = 0; sent < size; sent += 65_536)
      if (!socket.write(Buffer.alloc(65_536, 0x20))) await once(socket, 'drain')
    expect(await collect(socket)).toMatch(/^HTTP\/1.1 413 .*^connection: close\r$.*body-too-large/ims)
    expect(await http.stored()).toEqual([])
  })

  test('what is no HTTP gets its problem document over TLS, too', async () => {
    const authority = new Authority()
    const http = await startHttp(variablesOf(authority.issue('server')))
    const socket = await handshake(http.url, { ca: authority.ca })
    socket.write('NONSENSE\r\n\r\n')
    expect(await collect(socket)).toMatch(/^HTTP\/1.1 400 .*urn:millrace:problem:malformed/s)
  })

  test('client certificates: none, one of another authority and one for servers are refused, ours is taken', async () => {
    const [authority, clients, others] = [new Authority(), new Authority('clients'), new Authority('others')]
    const http = await startHttp(variablesOf(authority.issue('server'), clients.ca))
    const { ca } = authority
    for (const wrong of [{}, others.issue('client'), clients.issue('server'), clients.issue('client', { days: -1 })]) {
      await expect(send(http.url, { ca, ...wrong })).rejects.toThrow()
    }
    expect(await http.stored()).toEqual([])
    expect((await send(http.url, { ca, ...clients.issue('client') })).status).toBe(202)
    expect((await http.stored()).length).toBe(1)
  })
})

suite(`files that cannot be used${because}`, () => {
  const broken: [string, RegExp, (pair: Pair, authority: Authority) => Record<string, string>][] = [
    ['no key', /^TLS_CERT_FILE: it needs TLS_KEY_FILE/, (pair) => ({ ...variablesOf(pair), TLS_KEY_FILE: '' })],
    [
      'no certificate',
      /^TLS_KEY_FILE: it needs TLS_CERT_FILE/,
      (pair) => ({ ...variablesOf(pair), TLS_CERT_FILE: '' }),
    ],
    ['authorities alone', /^TLS_CLIENT_CA_FILE: it needs TLS_CERT_FILE/, () => ({ TLS_CLIENT_CA_FILE: '/x' })],
    [
      'a missing file',
      /^TLS_CERT_FILE: cannot read .*ENOENT/,
      (pair) => ({ ...variablesOf(pair), TLS_CERT_FILE: '/x' }),
    ],
    ['no PEM', /^TLS_CERT_FILE: .* is not a PEM file/, (pair) => variablesOf({ ...pair, cert: 'x' })],
    ['an empty file', /^TLS_KEY_FILE: .* is not a PEM file/, (pair) => variablesOf({ ...pair, key: '' })],
    [
      'too many bytes',
      /^TLS_CERT_FILE: .*the limit is 1048576/,
      (pair) => variablesOf({ ...pair, cert: 'x'.repeat(2 ** 21) }),
    ],
    [
      'half a certificate',
      /^TLS_CERT_FILE: certificate 1 is cut short/,
      ({ cert, key }) => variablesOf({ cert: cert.slice(0, 300), key }),
    ],
    [
      'half a chain',
      /^TLS_CERT_FILE: certificate 2 is cut short/,
      ({ cert, key }, { ca }) => variablesOf({ cert: cert + ca.slice(0, 300), key }),
    ],
    [
      'a damaged certificate',
      /^TLS_CERT_FILE: certificate 1 cannot be read/,
      ({ cert, key }) => variablesOf({ cert: cert.replace(/\nM/, '\nA'), key }),
    ],
    [
      'half a key',
      /^TLS_KEY_FILE: it holds no whole private key/,
      ({ cert, key }) => variablesOf({ cert, key: key.slice(0, 100) }),
    ],
    [
      'the key of another',
      /^TLS_KEY_FILE: the key does not belong to the certificate/,
      ({ cert }, authority) => variablesOf({ cert, key: authority.issue('server').key }),
    ],
    ['a key as certificate', /^TLS_CERT_FILE: it holds no certificate/, ({ key }) => variablesOf({ cert: key, key })],
    [
      'half an authority',
      /^TLS_CLIENT_CA_FILE: certificate 1 is cut short/,
      (pair, { ca }) => variablesOf(pair, ca.slice(0, 200)),
    ],
  ]
  test.each(broken)('%s ends the start with the variable and what is wrong: %s', (_, message, make) => {
    const authority = new Authority()
    const start = () => readTls(loadConfig(make(authority.issue('server'), authority)), () => undefined)
    expect(start).toThrow(expect.objectContaining({ code: 'CONFIG_INVALID', message: expect.stringMatching(message) }))
  })

  test('an expired certificate is served, with a warning', async () => {
    const authority = new Authority()
    const http = await startHttp(variablesOf(authority.issue('server', { days: -1 })))
    expect(http.logged.join('')).toMatch(/TLS_CERT_FILE: the certificate expired at \d{4}-.*clients will refuse it/)
    await expect(send(http.url, { ca: authority.ca })).rejects.toMatchObject({ code: 'CERT_HAS_EXPIRED' })
    expect((await send(http.url, { rejectUnauthorized: false })).status).toBe(202)
  })

  test('a listener for others needs no key when its clients need certificates', () => {
    const pair = new Authority().issue('server')
    const open = { HOST: '0.0.0.0', ...variablesOf(pair) }
    expect(() => loadConfig(open)).toThrow(/^HOST: 0\.0\.0\.0 is open to others/)
    expect(loadConfig({ ...open, ...variablesOf(pair, new Authority().ca) }).HOST).toBe('0.0.0.0')
  })
})
