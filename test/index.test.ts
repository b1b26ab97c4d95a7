/** Millrace inside a program, through what users import. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { defineConfig, type Event, ofType, type Sink, startApp } from 'millrace'
import { expect, test } from 'vitest'
import { until } from './support/service.ts'
import { temporaryDirectory } from './support/temporary.ts'

/** Keeps what it is given. */
class MemorySink implements Sink {
  readonly concurrency = 1
  readonly maxBatchEvents = 100
  readonly #events: Event[]

  constructor({ events }: { events: Event[] }) {
    this.#events = events
  }

  async write({ items }: Parameters<Sink['write']>[0]): Promise<undefined> {
    this.#events.push(...items.map(({ event }) => event))
  }

  async close(): Promise<void> {}
}

test('startApp runs a pipeline with handlers, sinks and routes of its own, and stops it again', async () => {
  const directory = temporaryDirectory()
  const events: Event[] = []
  const config = defineConfig({
    handlers: { mark: (event) => ({ ...event, seenby: 'mark' }) },
    sinks: { memory: ({ options }) => new MemorySink(options) },
    routes: [{ name: 'orders', filter: ofType('order.*'), handlers: ['mark'], sink: 'memory', options: { events } }],
  })
  const environment = { DATA_DIR: join(directory, 'data'), PORT: '0', ADMIN_PORT: '0', LOG_LEVEL: 'silent' }
  const app = await startApp({ environment, config })
  const response = await fetch(`${app.url}/v1/events`, {
    method: 'POST',
    headers: { 'content-type': 'application/x-ndjson' },
    body: '{"id":1,"type":"order.paid","data":1}\n{"id":2,"type":"page.viewed","data":2}',
  })
  expect(response.status).toBe(202)
  await until(() => events.length > 0, 5000, 'the event of the route')
  expect(await app.close(0)).toBe(true)
  expect(events).toMatchObject([{ id: '1', type: 'order.paid', data: 1, seenby: 'mark' }])
  expect(existsSync(join(directory, 'data/log'))).toBe(true)
})

test('startApp refuses what a start would, by its name', async () => {
  await expect(startApp({ environment: { PORT: 'http' } })).rejects.toThrow(/^PORT: "http" is not/)
  await expect(startApp({ environment: { MILLRACE_PROT: '1' } })).rejects.toThrow(/did you mean MILLRACE_PORT/)
  await expect(startApp({ environment: { HANDLER_THREADS: '1' } })).rejects.toThrow(/^HANDLER_THREADS: threads need/)
  await expect(startApp({ environment: { DELIVERY_THREAD: 'true' } })).rejects.toThrow(/^DELIVERY_THREAD: threads need/)
  const config = { routes: [{ name: 'a', sink: 'nowhere' }] }
  await expect(startApp({ config })).rejects.toThrow(/^route "a" in config: sink: there is no "nowhere"/)
})

test('the types of a config know its handlers and sinks, and the options of each of the sinks', () => {
  const handlers = { mark: (event: Event) => event }
  const sinks = { memory: () => new MemorySink({ events: [] }) }
  defineConfig({ handlers, sinks, routes: [{ name: 'a', handlers: ['mark'], sink: 'memory', options: { any: 1 } }] })
  // @ts-expect-error: no handler has this name
  defineConfig({ handlers, routes: [{ name: 'a', handlers: ['mrak'], sink: 'file' }] })
  // @ts-expect-error: no sink has this name
  defineConfig({ sinks, routes: [{ name: 'a', sink: 'memroy' }] })
  // @ts-expect-error: nor has this one, where there are none of one's own
  defineConfig({ routes: [{ name: 'a', sink: 'memory' }] })
  // @ts-expect-error: the file sink has no such variable
  defineConfig({ routes: [{ name: 'a', sink: 'file', options: { FILE_SINK_DIRS: './x' } }] })
  // @ts-expect-error: a number
  defineConfig({ routes: [{ name: 'a', sink: 'file', options: { RETRY_BASE_MS: '5' } }] })
  // @ts-expect-error: there is no such key
  defineConfig({ handler: handlers })
})
