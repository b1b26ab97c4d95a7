/** The whole service as its users meet it: a process, its ports, its directory, its signals. */
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { startEndpoint } from './support/endpoint.ts'
import { startLoad } from './support/load.ts'
import {
  caughtUp,
  deliveredIn,
  expectConserved,
  lagOf,
  post,
  type Service,
  scrape,
  startService,
  until,
} from './support/service.ts'
import { temporaryDirectory } from './support/temporary.ts'

test('the first event: accepted, and in the file sink a moment later', async () => {
  const directory = temporaryDirectory()
  const service = await startService(directory)
  const response = await post(service, { id: 1, data: 'Event 1' })
  expect([response.status, await response.json()]).toEqual([202, { accepted: 1 }])
  const delivered = join(directory, 'data/delivered')
  await until(() => deliveredIn(delivered).length === 1, 1000, 'the event in the file sink')
  expect(deliveredIn(delivered)[0]).toMatchObject({ specversion: '1.0', id: '1', data: 'Event 1' })
  expect(await service.stop()).toBe(0)
})

test('the published sample: three events, a channel of 100, a handler of 200 ms, one after the other', async () => {
  const directory = temporaryDirectory()
  const service = await startService(directory, { HANDLERS: 'sample', CHANNEL_CAPACITY_EVENTS: '100' })
  for (const id of [1, 2, 3]) expect((await post(service, { id, data: `Event ${id}` })).status).toBe(202)
  const delivered = join(directory, 'data/delivered')
  await until(() => deliveredIn(delivered).length === 3, 3000, 'three events handled')
  const handled = deliveredIn(delivered) as unknown as { id: string; handledat: string }[]
  expect(handled.map(({ id }) => id)).toEqual(['1', '2', '3'])
  const times = handled.map(({ handledat }) => Date.parse(handledat))
  expect((times[2] ?? 0) - (times[0] ?? 0)).toBeGreaterThanOrEqual(390)
})

test('SIGTERM under load: every acknowledged event is delivered, exit code 0', async () => {
  const directory = temporaryDirectory()
  const service = await startService(directory, { SHUTDOWN_GRACE_MS: '200' })
  const load = startLoad(service.url, { connections: 16, batch: 10 })
  await new Promise((resolve) => setTimeout(resolve, 500))
  expect(await service.stop('SIGTERM'), service.output()).toBe(0)
  await load.stop()
  const ids = new Set(deliveredIn(join(directory, 'data/delivered')).map(({ id }) => id))
  expect(load.acknowledged.size).toBeGreaterThan(100)
  expect([...load.acknowledged].filter((id) => !ids.has(id))).toEqual([])
  expect([...load.statuses.keys()].filter((status) => ![202, 503, 0].includes(status))).toEqual([])
})

test('readiness fails during the grace of a shutdown, while requests are still served', async () => {
  const service = await startService(temporaryDirectory(), { SHUTDOWN_GRACE_MS: '600' })
  const stopped = service.stop('SIGTERM')
  await until(async () => (await fetch(`${service.url}/health/ready`)).status === 503, 500, 'not ready')
  expect((await post(service, { data: 1 })).status).toBe(202)
  expect(await stopped).toBe(0)
})

test('a sink that is down: its events wait, the other sink goes on, all arrive in order per key', async () => {
  const downMs = Number(process.env.MILLRACE_SINK_DOWN_MS ?? 2000)
  const directory = temporaryDirectory()
  const endpoint = await startEndpoint()
  const service = await startService(directory, {
    SINKS: 'file,http',
    HTTP_SINK_URL: endpoint.url,
    RETRY_MAX_MS: '500',
  })
  const load = startLoad(service.url, { connections: 4, batch: 1, pauseMs: 10 })
  await until(() => endpoint.received.length > 20, 5000, 'the endpoint receives')

  endpoint.answer = () => 503
  await new Promise((resolve) => setTimeout(resolve, downMs))
  expect(await lagOf(service, 'http')).toBeGreaterThan(50)
  await until(async () => (await lagOf(service, 'file')) < 25, 5000, 'the other sink goes on')
  expect([...load.statuses.keys()]).toEqual([202])

  endpoint.answer = () => 200
  await load.stop()
  await caughtUp(service, ['http', 'file'])
  await expectConserved(service, ['file', 'http'])
  expect(await service.stop()).toBe(0)

  for (const events of [
    endpoint.received,
    deliveredIn(join(directory, 'data/delivered')) as typeof endpoint.received,
  ]) {
    const ids = new Set(events.map(({ id }) => id))
    expect([...load.acknowledged].filter((id) => !ids.has(id))).toEqual([])
    const last = new Map<string, number>()
    for (const { subject, data } of events) {
      expect(data.seq).toBeGreaterThan(last.get(subject) ?? -1)
      last.set(subject, data.seq)
    }
  }
  console.error(
    `  sink down for ${downMs} ms: ${load.acknowledged.size} events, all delivered by both sinks in key order`,
  )
}, 180_000)

describe('when there is no room', () => {
  const LOG_MAX_BYTES = 64 * 1024 * 1024

  test('a full log: 503 with Retry-After at once, memory stays flat, and writing goes on by itself', async () => {
    const seconds = Number(process.env.MILLRACE_OVERLOAD_SECONDS ?? 3)
    const directory = temporaryDirectory()
    const endpoint = await startEndpoint()
    endpoint.answer = () => 503
    const service = await startService(directory, {
      SINKS: 'http',
      HTTP_SINK_URL: endpoint.url,
      HTTP_SINK_CONCURRENCY: '4',
      LOG_MAX_BYTES: String(LOG_MAX_BYTES),
      RETRY_MAX_MS: '200',
    })
    const load = startLoad(service.url, { connections: 16, batch: 100, dataLength: 200, remember: false })
    let peakBytes = 0
    await until(() => (load.statuses.get(503) ?? 0) > 0, 60_000, 'the log is full')
    const deadline = performance.now() + seconds * 1000
    while (performance.now() < deadline) {
      peakBytes = Math.max(peakBytes, (await scrape(service)).get('process_resident_memory_bytes') ?? 0)
      await new Promise((resolve) => setTimeout(resolve, 200))
    }
    const refused = await post(service, { data: 'x'.repeat(900_000) })
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '1'])
    expect(await refused.json()).toMatchObject({ type: 'urn:millrace:problem:log-full', status: 503 })
    await load.stop()
    expect(peakBytes).toBeLessThan(200 * 1024 * 1024)
    const samples = await expectConserved(service, ['http'])
    expect(samples.get('millrace_log_bytes')).toBeLessThanOrEqual(LOG_MAX_BYTES)
    expect(samples.get('millrace_saturation_ratio')).toBeGreaterThan(0.7)

    endpoint.answer = () => 200
    await until(async () => (await post(service, { data: 1 })).status === 202, 20_000, 'taken again')
    console.error(
      `  ${seconds} s with a stalled sink: peak ${Math.round(peakBytes / 2 ** 20)} MiB, slowest refusal ${Math.round(load.slowestRefusalMs)} ms, answers ${JSON.stringify([...load.statuses])}`,
    )
  }, 400_000)
})

test('what was counted holds after a restart, and after a kill', async () => {
  const directory = temporaryDirectory()
  const endpoint = await startEndpoint()
  endpoint.answer = () => 400
  const environment = { SINKS: 'file,http', HTTP_SINK_URL: endpoint.url }
  const first = await startService(directory, environment)
  for (let id = 0; id < 20; id++) await post(first, [{ id, data: 1 }, { id }])
  await caughtUp(first, ['http', 'file'])
  const before = await expectConserved(first, ['file', 'http'])
  expect(before.get('millrace_events_received_total')).toBe(40)
  expect(before.get('millrace_events_rejected_total{reason="invalid"}')).toBe(20)
  expect(before.get('millrace_events_dead_lettered_total{sink="http"}')).toBe(20)
  await first.stop()

  const conserved = [...before].filter(([name]) => /_total|lag_events/.test(name) && /millrace_events|lag/.test(name))
  for (const end of ['SIGTERM', 'SIGKILL'] as const) {
    const again = await startService(directory, environment)
    const after = await expectConserved(again, ['file', 'http'])
    expect([...after].filter(([name]) => conserved.some(([known]) => known === name))).toEqual(conserved)
    await again.stop(end)
  }
})

test('an event that is sent again is acknowledged and not stored again, after a kill as well', async () => {
  const directory = temporaryDirectory()
  const environment = { DEDUPLICATION_WINDOW_EVENTS: '1000', LOG_RETENTION_MS: '0' }
  const order = (id: number) => ({ specversion: '1.0', id: `o-${id}`, source: '/shop', type: 'order', data: { id } })
  const orders = Array.from({ length: 100 }, (_, id) => order(id))
  const answerTo = async (service: Service, body: unknown): Promise<{ accepted: number; duplicates?: number }> =>
    (await post(service, body)).json() as never
  const first = await startService(directory, environment)
  expect(await answerTo(first, orders)).toEqual({ accepted: 100 })
  expect(await answerTo(first, order(7))).toEqual({ accepted: 1, duplicates: 1 })
  // At once, from many: one of them is stored.
  const raced = await Promise.all(Array.from({ length: 50 }, () => answerTo(first, order(100))))
  expect(raced.filter(({ duplicates }) => duplicates === undefined).length).toBe(1)
  // Without an id, or from another source, it is another event.
  for (const event of [{ data: 7 }, { data: 7 }, { ...order(7), source: '/other' }]) {
    expect(await answerTo(first, event)).toEqual({ accepted: 1 })
  }
  await first.stop('SIGKILL')

  const second = await startService(directory, environment)
  expect(await answerTo(second, [...orders, order(100), order(101)])).toEqual({ accepted: 102, duplicates: 101 })
  await caughtUp(second, ['file'])
  const samples = await expectConserved(second, ['file'])
  expect(samples.get('millrace_events_rejected_total{reason="duplicate"}')).toBe(101)
  // 102 orders, one of them from two sources, and two without an id.
  expect(samples.get('millrace_events_committed_total')).toBe(105)
  expect(await second.stop()).toBe(0)
})
