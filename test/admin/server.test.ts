import { pino } from 'pino'
import { expect, onTestFinished, test } from 'vitest'
import { type App, startApp } from '../../app/app.ts'
import { loadConfig } from '../../app/config.ts'
import { raw } from '../support/http.ts'
import { temporaryDirectory } from '../support/temporary.ts'

async function start(): Promise<App> {
  const directory = temporaryDirectory()
  const config = loadConfig({ DATA_DIR: directory, FILE_SINK_DIR: `${directory}/out`, PORT: '0', ADMIN_PORT: '0' })
  const app = await startApp(config, pino({ level: 'silent' }), () => undefined)
  onTestFinished(async () => void (await app.close(0)))
  return app
}

/** Metrics that design and dashboards rely on. */
const NAMES = `events_received_total events_rejected_total events_committed_total events_delivered_total
  events_dead_lettered_total channel_events channel_bytes channel_capacity_events write_duration_seconds
  log_sync_duration_seconds log_group_events log_bytes delivery_lag_events delivery_lag_seconds
  delivery_attempts_total saturation_ratio build_info`

test('metrics: every promised name is there, with its labels, and says what happened', async () => {
  const { url, adminUrl } = await start()
  const headers = { 'content-type': 'application/x-ndjson' }
  await fetch(`${url}/v1/events`, { method: 'POST', headers, body: '{"data":1}\n{"data":2}\n{"id":3}' })
  await fetch(`${url}/v1/events`, { method: 'POST', headers, body: 'nonsense' })
  await new Promise((resolve) => setTimeout(resolve, 300))
  const response = await fetch(`${adminUrl}/metrics`)
  expect(response.headers.get('content-type')).toMatch(/^text\/plain; version=0\.0\.4/)
  const text = await response.text()
  for (const name of NAMES.split(/\s+/)) expect(text).toMatch(new RegExp(`^# TYPE millrace_${name} `, 'm'))
  for (const line of [
    'millrace_events_received_total 4',
    'millrace_events_rejected_total{reason="invalid"} 2',
    'millrace_events_committed_total 2',
    'millrace_events_delivered_total{sink="file"} 2',
    'millrace_delivery_attempts_total{sink="file",outcome="delivered"} 1',
    'millrace_write_duration_seconds_count 1',
    'millrace_requests_refused_total{reason="malformed"} 1',
  ]) {
    expect(text.split('\n')).toContain(line)
  }
  expect(text).toMatch(/^millrace_build_info\{version="[\d.]+",role="all",node="v/m)
  expect(text).toMatch(/^process_cpu_seconds_total /m)
})

test('health, status and dead letters', async () => {
  const { adminUrl } = await start()
  expect((await fetch(`${adminUrl}/health/live`)).status).toBe(200)
  expect((await fetch(`${adminUrl}/health/ready`)).status).toBe(200)
  expect(await (await fetch(`${adminUrl}/status`)).json()).toMatchObject({
    name: 'millrace',
    sinks: [{ sink: 'file', lagEvents: 0 }],
  })
  expect(await (await fetch(`${adminUrl}/dead-letters/file`)).json()).toEqual([])
  expect((await fetch(`${adminUrl}/dead-letters/kinesis`)).status).toBe(404)
  expect((await fetch(`${adminUrl}/dead-letters/file?limit=0`)).status).toBe(400)
  expect((await fetch(`${adminUrl}/nothing`)).status).toBe(404)
})

test('a replay needs a header that a foreign page cannot send, and an address that is ours', async () => {
  const { adminUrl } = await start()
  const replay = (headers: Record<string, string>) =>
    fetch(`${adminUrl}/dead-letters/file/replay`, { method: 'POST', headers })
  expect((await replay({})).status).toBe(403)
  const accepted = await replay({ 'x-millrace-admin': '1' })
  expect([accepted.status, await accepted.json()]).toEqual([200, { letters: 0, failedAgain: 0 }])
})

test('a name that was made to resolve to loopback (DNS rebinding) is refused', async () => {
  const { adminUrl } = await start()
  const { request } = await import('node:http')
  const status = await new Promise((resolve) => {
    request(`${adminUrl}/metrics`, { headers: { host: 'evil.example' } }, (response) => {
      response.resume()
      resolve(response.statusCode)
    }).end()
  })
  expect(status).toBe(403)
})

test.each([
  ['no HTTP', 'NONSENSE\r\n\r\n', 400],
  ['an expectation', 'GET /status HTTP/1.1\r\nHost: localhost\r\nExpect: magic\r\n\r\n', 417],
  ['a tunnel', 'CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n', 405],
  ['RTSP', 'DESCRIBE rtsp://a/b RTSP/1.0\r\n\r\n', 505],
  ['no host', 'GET /status HTTP/1.1\r\n\r\n', 400],
  ['two hosts', 'GET /status HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n', 400],
  ['HTTP/1.0 without a host', 'GET /status HTTP/1.0\r\n\r\n', 403],
  [
    'another transfer coding',
    'POST /status HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n',
    501,
  ],
  ['another method', 'PUT /status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n', 405],
])('%s is refused with a problem document', async (_, bytes, status) => {
  const { adminUrl } = await start()
  const answer = await raw({ url: adminUrl }, bytes)
  expect(answer).toMatch(/^content-type: application\/problem\+json/im)
  expect(JSON.parse(answer.slice(answer.indexOf('\r\n\r\n') + 4))).toMatchObject({ status })
})
