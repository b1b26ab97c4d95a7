/** Certificates and keys that are replaced while the service runs, as a process with one thread and with two. */
import { once } from 'node:events'
import { appendFileSync, truncateSync, writeFileSync } from 'node:fs'
import { Agent } from 'node:https'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { Authority, CANNOT_MAKE_CERTIFICATES, MountedSecret, type Pair } from '../support/certificates.ts'
import { startLoad } from '../support/load.ts'
import { deliveredIn, type Service, startService, until } from '../support/service.ts'
import { temporaryDirectory } from '../support/temporary.ts'
import { fingerprintAt, handshake, send, variablesOf } from '../support/tls-client.ts'

const suite = CANNOT_MAKE_CERTIFICATES === undefined ? describe : describe.skip
const because = CANNOT_MAKE_CERTIFICATES === undefined ? '' : ` (skipped: ${CANNOT_MAKE_CERTIFICATES})`

suite.each([{ WORKERS: '1' }, { WORKERS: '2' }])(`while it runs, %o${because}`, (workers) => {
  const files = ({ cert, key }: Pair) => ({ 'tls.crt': cert, 'tls.key': key })
  const start = async (authority: Authority, more: Record<string, string> = {}) => {
    const secret = new MountedSecret(files(authority.issue('server')))
    const directory = temporaryDirectory()
    const tls = { TLS_CERT_FILE: secret.path('tls.crt'), TLS_KEY_FILE: secret.path('tls.key') }
    return { secret, directory, service: await startService(directory, { ...workers, ...tls, ...more }) }
  }
  const saysTimes = (service: Service, text: RegExp, times: number) =>
    until(() => (service.output().match(new RegExp(text, 'g')) ?? []).length >= times, 10_000, `${text} ${times} times`)

  test('certificates are renewed under load without one failed request', async () => {
    const authority = new Authority()
    const { secret, directory, service } = await start(authority)
    const kept = new Agent({ keepAlive: true, maxSockets: 8, ca: authority.ca })
    const fresh = new Agent({ keepAlive: false, maxSockets: 4, ca: authority.ca, maxCachedSessions: 0 })
    const loads = [
      startLoad(service.url, { connections: 8, batch: 5, prefix: 'k', agent: kept }),
      startLoad(service.url, { connections: 4, batch: 5, prefix: 'f', agent: fresh, pauseMs: 5 }),
    ]
    const served = new Set([await fingerprintAt(service.url, authority.ca)])
    for (const round of [1, 2, 3]) {
      secret.replace(files(authority.issue('server')))
      await saysTimes(service, /TLS_CERT_FILE: new connections get certificate/, round)
      const sofar = served.size
      await until(
        async () => served.add(await fingerprintAt(service.url, authority.ca)).size > sofar,
        5000,
        'it is served',
      )
    }
    await Promise.all(loads.map((load) => load.stop()))
    for (const load of loads) {
      expect([...load.statuses.keys()]).toEqual([202])
      expect(load.acknowledged.size).toBeGreaterThan(100)
      expect(load.acknowledged.size).toBe(load.sent.size)
    }
    expect(served.size).toBe(4)
    expect(await service.stop()).toBe(0)
    const ids = deliveredIn(join(directory, 'data/delivered')).map(({ id }) => id)
    expect(new Set(ids).size).toBe(loads.reduce((sum, { sent }) => sum + sent.size, 0))
  }, 60_000)

  test('a half-written file and a key that does not fit are refused in the log, and the old pair stays; then the new one is taken', async () => {
    const authority = new Authority()
    const { secret, service } = await start(authority)
    const before = await fingerprintAt(service.url, authority.ca)
    const [next, other] = [authority.issue('server'), authority.issue('server')]
    secret.replace(files({ cert: next.cert.slice(0, 400), key: next.key }))
    await saysTimes(service, /TLS_CERT_FILE: certificate 1 is cut short.*the certificate from before stays in use/, 1)
    secret.replace(files({ cert: next.cert, key: other.key }))
    await saysTimes(service, /TLS_KEY_FILE: the key does not belong.*the certificate from before stays in use/, 1)
    expect(await fingerprintAt(service.url, authority.ca)).toBe(before)
    expect((await send(service.url, { ca: authority.ca })).status).toBe(202)
    secret.replace(files(next))
    await saysTimes(service, /TLS_CERT_FILE: new connections get certificate/, 1)
    await until(async () => (await fingerprintAt(service.url, authority.ca)) !== before, 5000, 'the new one is served')
    expect(service.output()).not.toMatch(/PRIVATE KEY/)
  }, 60_000)

  test('keys are added and taken away, also for connections that are open; a broken file changes nothing', async () => {
    const keys = join(temporaryDirectory(), 'keys')
    writeFileSync(keys, 'one:1111111111111111\n')
    const authority = new Authority()
    const { service } = await start(authority, { API_KEYS_FILE: keys })
    const agent = new Agent({ keepAlive: true, maxSockets: 1, ca: authority.ca })
    onTestFinished(() => agent.destroy())
    const statuses = async () => [
      (await send(service.url, { agent, authorization: 'Bearer 1111111111111111' })).status,
      (await send(service.url, { agent, authorization: 'Bearer 2222222222222222' })).status,
    ]
    expect(await statuses()).toEqual([202, 401])
    appendFileSync(keys, 'two:2222222222222222\n')
    await saysTimes(service, /API_KEYS_FILE: new keys are in use: one, two/, 1)
    await until(async () => String(await statuses()) === '202,202', 5000, 'both are taken')
    truncateSync(keys, 0)
    await saysTimes(service, /API_KEYS_FILE: .* holds no key: .*; the keys from before stay in use/, 1)
    expect(await statuses()).toEqual([202, 202])
    writeFileSync(keys, 'two:2222222222222222\n')
    await saysTimes(service, /API_KEYS_FILE: new keys are in use: two"/, 1)
    await until(async () => String(await statuses()) === '401,202', 5000, 'one is gone')
    expect(service.output()).not.toMatch(/1111111111111111|2222222222222222/)
  }, 60_000)

  test('SIGHUP reads them again, and says so when nothing has changed', async () => {
    const { service } = await start(new Authority())
    service.process.kill('SIGHUP')
    await saysTimes(service, /SIGHUP: certificate and keys are unchanged/, 1)
  })

  test('a connection that has sent nothing does not hold the end of the service up', async () => {
    const authority = new Authority()
    const service = await startService(temporaryDirectory(), { ...workers, ...variablesOf(authority.issue('server')) })
    const spare = await handshake(service.url, { ca: authority.ca })
    const startedAt = performance.now()
    const [code] = await Promise.all([service.stop(), once(spare.resume(), 'close')])
    expect(code).toBe(0)
    expect(performance.now() - startedAt).toBeLessThan(4000) // the limit for requests that have begun is 5 s
  })
})
