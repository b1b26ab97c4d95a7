import { get } from 'node:http'
import { pino } from 'pino'
import { expect, onTestFinished, test } from 'vitest'
import { createAdmin } from '../../app/admin/server.ts'
import { quantile, type Snapshot } from '../../app/admin/snapshot.ts'
import { type App, startApp } from '../../app/app.ts'
import { loadConfig } from '../../app/config.ts'
import { temporaryDirectory } from '../support/temporary.ts'

async function start(environment: Record<string, string> = {}): Promise<App> {
  const directory = temporaryDirectory()
  const own = { DATA_DIR: directory, FILE_SINK_DIR: `${directory}/out`, PORT: '0', ADMIN_PORT: '0' }
  const app = await startApp(loadConfig({ ...own, ...environment }), pino({ level: 'silent' }), () => undefined)
  onTestFinished(async () => void (await app.close(0)))
  return app
}

/** Snapshots of the stream, until `count` of them have come. */
async function watch(adminUrl: string, count: number): Promise<Record<string, never>[]> {
  const aborted = new AbortController()
  const response = await fetch(`${adminUrl}/events`, { signal: aborted.signal })
  expect(response.headers.get('content-type')).toBe('text/event-stream')
  const snapshots: Record<string, never>[] = []
  let text = ''
  for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
    text += Buffer.from(chunk).toString()
    const parts = text.split('\n\n')
    text = parts.pop() ?? ''
    for (const part of parts) if (part.startsWith('data: ')) snapshots.push(JSON.parse(part.slice(6)))
    if (snapshots.length >= count) break
  }
  aborted.abort()
  return snapshots
}

test('the page and all it needs come from here, and may load nothing else', async () => {
  const { adminUrl } = await start()
  const page = await fetch(adminUrl)
  expect(page.headers.get('content-type')).toMatch(/^text\/html/)
  expect(page.headers.get('content-security-policy')).toMatch(/default-src 'none'.*script-src 'self'/)
  const text = await page.text()
  expect(text).not.toMatch(/https?:\/\/|<script>|style="/)
  const files = [...text.matchAll(/(?:src|href)="(\/page\/[^"]+)"/g)].map(([, path]) => path)
  expect(files).toHaveLength(3)
  for (const path of [...files, '/page/uPlot.esm.js']) {
    expect((await fetch(`${adminUrl}${path}`)).status, path).toBe(200)
  }
  expect((await fetch(`${adminUrl}/page/..%2f..%2fapp.ts`)).status).toBe(404)
})

test('a snapshot says what was sent', async () => {
  const { url, adminUrl } = await start()
  const headers = { 'content-type': 'application/x-ndjson' }
  await fetch(`${url}/v1/events`, { method: 'POST', headers, body: '{"data":1}\n{"data":2}\n{"id":3}' })
  const watching = watch(adminUrl, 2)
  await new Promise((resolve) => setTimeout(resolve, 300))
  await fetch(`${url}/v1/events`, { method: 'POST', headers, body: '{"data":4}' })
  const [first, second] = await watching
  expect(first).toMatchObject({
    role: 'all',
    url,
    received: 3,
    committed: 2,
    rejected: { invalid: 1 },
    writeMs: null,
    needsKey: false,
    needsToken: false,
  })
  expect(second).toMatchObject({ received: 4, committed: 3, sinks: [{ sink: 'file', failure: null }] })
  const { p50, p99, p999 } = (second as unknown as Snapshot).writeMs ?? { p50: 0, p99: 0, p999: 0 }
  expect(p50).toBeGreaterThan(0)
  expect(p50).toBeLessThanOrEqual(p99)
  expect(p99).toBeLessThanOrEqual(p999)
})

test('two viewers see the same, and the service stops although they watch', async () => {
  const { adminUrl } = await start()
  const [one, other] = await Promise.all([watch(adminUrl, 3), watch(adminUrl, 3)])
  expect(one.at(-1)?.atMs).toBeTypeOf('number')
  expect(other).toHaveLength(3)
  const left = await new Promise((resolve) => get(`${adminUrl}/events`, resolve))
  expect(left).toBeTruthy()
})

test('beyond this machine, a replay needs the token', async () => {
  // The rule looks at the configured address; the listener of this test stays on loopback.
  const ask = async (token: string, authorization?: string, host = '0.0.0.0', more = {}) => {
    const admin = createAdmin({
      logger: pino({ level: 'silent' }),
      host,
      token,
      live: undefined as never,
      notReady: () => undefined,
      scrape: undefined as never,
      status: () => ({}),
      sinks: ['file'],
      deadLetters: async () => [],
      replay: async () => ({ letters: 0, failedAgain: 0 }),
    })
    const headers = { 'x-millrace-admin': '1', ...(authorization && { authorization }), ...more }
    const { statusCode, payload } = await admin.inject({ method: 'POST', url: '/dead-letters/file/replay', headers })
    return [statusCode, JSON.parse(payload).detail]
  }
  expect(await ask('')).toEqual([403, expect.stringContaining('set ADMIN_TOKEN')])
  expect(await ask('secret')).toEqual([403, expect.stringContaining('Bearer <ADMIN_TOKEN>')])
  expect(await ask('secret', 'Bearer wrong')).toEqual([403, expect.stringContaining('Bearer <ADMIN_TOKEN>')])
  expect(await ask('secret', 'Bearer secret')).toEqual([200, undefined])
  // On this machine none is needed, but one that is set is.
  expect(await ask('', undefined, '127.0.0.1')).toEqual([200, undefined])
  expect(await ask('secret', undefined, '127.0.0.1')).toEqual([403, expect.stringContaining('Bearer <ADMIN_TOKEN>')])
  const foreign = { 'sec-fetch-site': 'cross-site' }
  expect(await ask('', undefined, '127.0.0.1', foreign)).toEqual([403, 'asked from another site'])
})

test('quantiles: inside the bucket that holds them, and never above the last bound', () => {
  const buckets = [
    { upTo: 1, count: 50 },
    { upTo: 2, count: 100 },
    { upTo: Number.POSITIVE_INFINITY, count: 100 },
  ]
  expect(quantile(buckets, 0.5)).toBe(1)
  expect(quantile(buckets, 0.75)).toBe(1.5)
  expect(quantile([...buckets.slice(0, 2), { upTo: Number.POSITIVE_INFINITY, count: 200 }], 0.99)).toBe(2)
  expect(quantile([], 0.99)).toBe(0)
})

test('HEAD of the stream of snapshots is answered at once, and is no viewer', async () => {
  const { adminUrl } = await start()
  for (let at = 0; at < 65; at++) {
    const response = await fetch(`${adminUrl}/events`, { method: 'HEAD', signal: AbortSignal.timeout(5000) })
    expect([response.status, response.headers.get('content-type')]).toEqual([200, 'text/event-stream'])
  }
})

test.each([
  ['/events', 'GET, HEAD, OPTIONS'],
  ['/metrics', 'GET, HEAD, OPTIONS'],
  ['/dead-letters/file/replay', 'OPTIONS, POST'],
])('OPTIONS %s: Allow: %s, and no other origin is allowed anything', async (path, allow) => {
  const { adminUrl } = await start()
  const headers = { origin: 'https://page.example', 'access-control-request-method': 'POST' }
  const response = await fetch(adminUrl + path, { method: 'OPTIONS', headers })
  expect([response.status, response.headers.get('allow')]).toEqual([204, allow])
  expect([...response.headers.keys()].filter((name) => name.startsWith('access-control'))).toEqual([])
})
