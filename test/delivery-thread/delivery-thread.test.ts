/** DELIVERY_THREAD=true: what holds on the main thread holds there, and requests do not wait for it. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { startEndpoint } from '../support/endpoint.ts'
import { startLoad } from '../support/load.ts'
import { caughtUp, deliveredIn, expectConserved, lagOf, post, scrape, startService, until } from '../support/service.ts'
import { temporaryDirectory } from '../support/temporary.ts'

const THREAD = { DELIVERY_THREAD: 'true' }
/** Without a type or an import, so that it can lie anywhere. */
const CONFIG_FILE = `
export default {
  handlers: {
    mark: (event) => ({ ...event, seenby: 'thread' }),
    refuse: (event) => {
      if (event.data === 'bad') throw new Error('it is bad')
      return event
    },
    busy: (event) => {
      for (const end = Date.now() + 3000; Date.now() < end; );
      return event
    },
  },
  routes: [
    { name: 'orders', filter: ({ type }) => type === 'order', handlers: ['mark', 'refuse'], sink: 'file',
      options: { FILE_SINK_DIR: 'orders' } },
    { name: 'slow', filter: ({ type }) => type === 'slow', handlers: ['busy'], sink: 'file',
      options: { FILE_SINK_DIR: 'slow' } },
  ],
}
`

function directoryWithConfig(): string {
  const directory = temporaryDirectory()
  writeFileSync(join(directory, 'millrace.config.mjs'), CONFIG_FILE)
  return directory
}

test('filters, handlers and dead letters work there, and what is seen of them from outside is the same', async () => {
  const directory = directoryWithConfig()
  const service = await startService(directory, { ...THREAD, HANDLER_THREADS: '1', RETRY_MAX_ATTEMPTS: '1' })
  for (const data of ['good', 'bad']) expect((await post(service, { id: data, type: 'order', data })).status).toBe(202)
  expect((await post(service, { id: 'other', type: 'page', data: 1 })).status).toBe(202)
  await caughtUp(service, ['orders', 'slow'])
  expect(deliveredIn(join(directory, 'orders'))).toMatchObject([{ id: 'good', seenby: 'thread' }])
  await until(
    async () => (await scrape(service)).get('millrace_dead_letters_pending{sink="orders"}') === 1,
    2000,
    'the dead letter is counted',
  )
  await expectConserved(service, ['orders', 'slow'])

  const letters = await (await fetch(`${service.adminUrl}/dead-letters/orders`)).text()
  expect(letters).toContain('it is bad')
  const replay = () => {
    const headers = { 'x-millrace-admin': '1' }
    return fetch(`${service.adminUrl}/dead-letters/orders/replay`, { method: 'POST', headers })
  }
  expect(await (await replay()).json()).toEqual({ letters: 1, failedAgain: 1 })
  expect(await service.stop()).toBe(0)
})

test('requests do not wait while a handler keeps its thread busy', async () => {
  const service = await startService(directoryWithConfig(), { ...THREAD, SHUTDOWN_DRAIN_MS: '100' })
  expect((await post(service, { type: 'slow', data: 1 })).status).toBe(202)
  await new Promise((resolve) => setTimeout(resolve, 500)) // the handler runs, for 3 s
  const startedAt = performance.now()
  expect((await post(service, { type: 'order', data: 1 })).status).toBe(202)
  expect(await lagOf(service, 'slow')).toBeGreaterThan(0)
  expect(performance.now() - startedAt).toBeLessThan(2000)
})

test('SIGTERM under load: every acknowledged event is delivered, and a restart goes on behind them', async () => {
  const directory = temporaryDirectory()
  let service = await startService(directory, { ...THREAD, SHUTDOWN_GRACE_MS: '200' })
  const load = startLoad(service.url, { connections: 16, batch: 10 })
  await until(() => load.acknowledged.size > 1000, 20_000, 'enough is acknowledged')
  expect(await service.stop('SIGTERM'), service.output()).toBe(0)
  await load.stop()
  const delivered = join(directory, 'data/delivered')
  const ids = deliveredIn(delivered).map(({ id }) => id)
  expect([...load.acknowledged].filter((id) => !ids.includes(id))).toEqual([])

  service = await startService(directory, THREAD)
  expect((await post(service, { id: 'last', data: 1 })).status).toBe(202)
  await caughtUp(service, ['file'])
  expect(await service.stop()).toBe(0)
  expect(deliveredIn(delivered).map(({ id }) => id)).toEqual([...ids, 'last'])
})

test('segments that are delivered are deleted, those that a sink has not taken stay, and the log stays bounded', async () => {
  const directory = temporaryDirectory()
  const endpoint = await startEndpoint()
  const service = await startService(directory, {
    ...{ ...THREAD, SINKS: 'file,http', HTTP_SINK_URL: endpoint.url, RETRY_MAX_MS: '100' },
    ...{ LOG_SEGMENT_BYTES: '65536', LOG_MAX_BYTES: '262144', LOG_RETENTION_MS: '0' },
  })
  const load = startLoad(service.url, { connections: 4, batch: 10, dataLength: 500, pauseMs: 5 })
  await until(() => load.acknowledged.size > 2000, 30_000, 'several times the log is stored')
  endpoint.answer = () => 503
  await until(() => (load.statuses.get(503) ?? 0) > 5, 20_000, 'the log is full')
  endpoint.answer = () => 200
  const before = load.acknowledged.size
  await until(() => load.acknowledged.size > before + 500, 20_000, 'it goes on by itself')
  expect((await scrape(service)).get('millrace_log_bytes')).toBeLessThanOrEqual(262_144)
  await load.stop()
  await caughtUp(service, ['file', 'http'])
  await expectConserved(service, ['file', 'http'])
  expect(await service.stop()).toBe(0)
  const inFiles = new Set(deliveredIn(join(directory, 'data/delivered')).map(({ id }) => id))
  const overHttp = new Set(endpoint.received.map(({ id }) => id))
  for (const ids of [inFiles, overHttp]) expect([...load.acknowledged].filter((id) => !ids.has(id))).toEqual([])
}, 120_000)

test('why a sink fails is seen from outside, and that it works again', async () => {
  const endpoint = await startEndpoint(() => 503)
  const environment = { ...THREAD, SINKS: 'http', HTTP_SINK_URL: endpoint.url, RETRY_MAX_MS: '100' }
  const service = await startService(temporaryDirectory(), environment)
  expect((await post(service, { id: 1, data: 1 })).status).toBe(202)
  const failing = async () => (await scrape(service)).get('millrace_sink_failing{sink="http"}')
  await until(async () => (await failing()) === 1, 5000, 'it fails')
  expect(await (await fetch(`${service.adminUrl}/status`)).text()).toContain('503')
  endpoint.answer = () => 200
  await caughtUp(service, ['http'])
  await until(async () => (await failing()) === 0, 5000, 'it works again')
  expect(service.output()).toContain('works again')
})

test('a start that it cannot be part of ends with one line that says why', async () => {
  const start = (environment: Record<string, string>) => startService(temporaryDirectory(), environment)
  await expect(start({ ...THREAD, SINKS: 'stdout' })).rejects.toThrow(
    /stdout sink writes from the main thread: leave DELIVERY_THREAD at false/,
  )
  await expect(start({ ...THREAD, LOG_ENGINE: 'kafka', KAFKA_BROKERS: 'localhost:9092' })).rejects.toThrow(
    /DELIVERY_THREAD: a thread can read only the embedded log: around Kafka/,
  )
})
