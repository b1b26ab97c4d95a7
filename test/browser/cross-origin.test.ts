/** A page of another origin in a real browser: `millrace/client` and `sendBeacon`, with a public key. */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Browser, type BrowserContext, chromium, type Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest'
import type { ClientStats } from '../../app/client/client.ts'
import { CHROMIUM as executablePath, noChromium as reason } from '../support/chromium.ts'
import { millrace } from '../support/millrace.ts'
import { freePorts } from '../support/ports.ts'
import { caughtUp, deliveredIn, scrape, startService } from '../support/service.ts'
import { storedEvents } from '../support/stored-events.ts'
import { temporaryDirectory } from '../support/temporary.ts'

vi.setConfig({ testTimeout: 120_000 })

const PROJECT = resolve(import.meta.dirname, '../..')
const KEY = 'pk_of-a-page-in-a-test'

let browser: Browser
beforeAll(async () => {
  if (!executablePath) return
  const args = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking']
  browser = await chromium.launch({ executablePath, args })
})
afterAll(async () => await browser?.close())

/** A server that has the page and the client, and nothing else. @returns its port. */
async function serveShop(): Promise<number> {
  const built = temporaryDirectory()
  execFileSync(process.execPath, [join(PROJECT, 'scripts/build.ts'), built])
  const server = createServer(({ url = '/' }, response) => {
    const [, module] = /^\/client\/([\w-]+\.js)$/.exec(url) ?? []
    if (module) {
      response.setHeader('content-type', 'text/javascript').end(readFileSync(join(built, 'app/client', module)))
    } else response.setHeader('content-type', 'text/html').end('<!doctype html><title>Shop</title>')
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return (server.address() as AddressInfo).port
}

async function open() {
  const directory = temporaryDirectory()
  const port = await serveShop()
  const [servicePort] = await freePorts(1)
  const environment = {
    API_KEYS: `page:${KEY} type=page.* origin=http://127.0.0.1:${port} rate=100000`,
    PORT: String(servicePort),
    DEDUPLICATION_WINDOW_EVENTS: '100000',
  }
  const start = () => startService(directory, environment)
  const service = await start()
  const context = await browser.newContext()
  onTestFinished(() => context.close())
  const address = `http://127.0.0.1:${port}/`
  const delivered = () => deliveredIn(join(directory, 'data/delivered')).map(({ id }) => id)
  const stored = async (): Promise<string[]> => {
    const { stdout } = await millrace(['log', 'replay', '--dir', join(directory, 'data/log')])
    return stdout.split('\n').flatMap((line) => (line === '' ? [] : JSON.parse(line).id))
  }
  return { port, address, context, page: await context.newPage(), service, start, stored, delivered }
}

/** A page with a client at `globalThis.client`, which keeps what it could not send in IndexedDB. */
async function openClient(context: BrowserContext, address: string, serviceUrl: string): Promise<Page> {
  const page = await context.newPage()
  await page.goto(address)
  await page.evaluate(`(async () => {
    const { createClient } = await import('/client/client.js')
    const { openIndexedDb } = await import('/client/indexed-db.js')
    globalThis.failed = []
    globalThis.client = createClient({
      url: '${serviceUrl}',
      key: '${KEY}',
      store: openIndexedDb(),
      retryMaxMs: 1000,
      onDropped: (_events, why) => failed.push(why),
      onRejected: (_events, problem) => failed.push(problem.detail),
    })
  })()`)
  return page
}

/** In the page: tracks so many events, 50 at a time. @returns their ids. */
const track = (page: Page, events: number, pauseMs: number): Promise<string[]> =>
  page.evaluate(`(async () => {
    const ids = []
    while (ids.length < ${events}) {
      for (let at = 0; at < 50; at++) ids.push(client.track({ type: 'page.viewed', data: { at: ids.length } }))
      if (${pauseMs} > 0) await new Promise((resolve) => setTimeout(resolve, ${pauseMs}))
    }
    return ids
  })()`)

const flush = (page: Page) => page.evaluate('client.flush({ timeoutMs: 60000 })')
const statsOf = (page: Page): Promise<ClientStats> => page.evaluate('client.stats')

/** As its user closes it: the page hears of it. */
async function closeTab(page: Page): Promise<void> {
  const closed = page.waitForEvent('close')
  await page.close({ runBeforeUnload: true })
  await closed
}

/** The database has what was tracked and not answered: that survives the tab, also without a network. */
async function expectAllStored(page: Page): Promise<void> {
  const { queuedEvents } = await statsOf(page)
  expect(queuedEvents).toBeGreaterThan(1000)
  await expect.poll(() => storedEvents(page)).toBe(queuedEvents)
}

/** Each of `ids` is there once, and nothing else. */
function expectEachOnce(found: readonly string[], ids: readonly string[]): void {
  expect(found.length).toBe(ids.length)
  expect(found.toSorted()).toEqual(ids.toSorted())
}

describe.skipIf(reason)(`a page of another origin${reason ? ` (left out: ${reason})` : ''}`, () => {
  test('10,000 events: a service that is killed, a network that goes away, a closed tab: each is there once', async () => {
    const { address, context, service, start, stored, delivered } = await open()
    const first = await openClient(context, address, service.url)
    const tracking = track(first, 8000, 40)
    await sleep(1500)
    await service.stop('SIGKILL')
    await sleep(1000)
    const again = await start()
    await context.setOffline(true)
    await sleep(2000)
    await context.setOffline(false)
    const ids = await tracking
    expect((await statsOf(first)).retries).toBeGreaterThan(0)
    // The rest is tracked while the network is away, and closed with the tab: only the database has it then.
    await context.setOffline(true)
    ids.push(...(await track(first, 2000, 1)))
    await expectAllStored(first)
    expect(await first.evaluate('failed')).toEqual([])
    await closeTab(first)
    await context.setOffline(false)
    const second = await openClient(context, address, service.url)
    await expect.poll(async () => (await statsOf(second)).restored).toBeGreaterThan(0)
    expect(await flush(second)).toBe(true)
    expect(await second.evaluate('failed')).toEqual([])
    await caughtUp(again, ['file'])
    await again.stop()
    expect(ids).toHaveLength(10_000)
    expectEachOnce(await stored(), ids)
    // A sink may see an event again after a kill, and never misses one.
    expectEachOnce([...new Set(delivered())], ids)
  })

  test('a network that goes away and comes back: the sink has each event once', async () => {
    const { address, context, service, delivered } = await open()
    const page = await openClient(context, address, service.url)
    const tracking = track(page, 3000, 20)
    for (let time = 0; time < 2; time++) {
      await sleep(300)
      await context.setOffline(true)
      await sleep(500)
      await context.setOffline(false)
    }
    const ids = await tracking
    expect(await flush(page)).toBe(true)
    const { tracked, sent, rejected, dropped, retries } = await statsOf(page)
    expect({ tracked, sent, rejected, dropped }).toEqual({ tracked: 3000, sent: 3000, rejected: 0, dropped: 0 })
    expect(retries).toBeGreaterThan(0)
    await caughtUp(service, ['file'])
    await service.stop()
    expectEachOnce(delivered(), ids)
  })

  test('a closed tab: what was queued before pagehide is at the sink, each once, also what its store alone has', async () => {
    const { address, context, service, delivered } = await open()
    const first = await openClient(context, address, service.url)
    const ids = await track(first, 50, 0)
    expect(await flush(first)).toBe(true)
    // A small queue leaves with the page; no other page has to come.
    ids.push(...(await track(first, 150, 0)))
    await closeTab(first)
    await expect.poll(async () => (await scrape(service)).get('millrace_events_committed_total')).toBe(ids.length)
    // A queue larger than a page may send when it is left: the next page finds it in the database.
    const second = await openClient(context, address, service.url)
    await context.setOffline(true)
    ids.push(...(await track(second, 3000, 1)))
    await expectAllStored(second)
    await closeTab(second)
    await context.setOffline(false)
    const third = await openClient(context, address, service.url)
    await expect.poll(async () => (await statsOf(third)).restored).toBeGreaterThan(0)
    expect(await flush(third)).toBe(true)
    await caughtUp(service, ['file'])
    await service.stop()
    expectEachOnce(delivered(), ids)
  })

  test('sends a beacon with the key in the address, and its browser asks nobody first', async () => {
    const { port, page, service, stored } = await open()
    const methods: string[] = []
    page.on('request', (request) => {
      if (request.url().startsWith(service.url)) methods.push(request.method())
    })
    await page.goto(`http://127.0.0.1:${port}/`)
    const event = '{"id":"beacon","type":"page.left","data":1}'
    const isQueued = await page.evaluate(`navigator.sendBeacon('${service.url}/v1/events?key=${KEY}', '${event}')`)
    expect(isQueued).toBe(true)
    await expect.poll(async () => (await fetch(`${service.adminUrl}/metrics`)).text()).toMatch(/committed_total 1\n/)
    expect(methods).toEqual(['POST'])
    await service.stop()
    expect(await stored()).toEqual(['beacon'])
    expect(service.output()).not.toContain('pk_')
  })

  test('that no key names sends nothing: its browser does not let it', async () => {
    const { port, page, service, stored } = await open()
    await page.goto(`http://localhost:${port}/`)
    const headers = `{ authorization: 'Bearer ${KEY}', 'content-type': 'application/json' }`
    const outcome = await page.evaluate(
      `fetch('${service.url}/v1/events', { method: 'POST', headers: ${headers}, body: '{"type":"page.x","data":1}' }).then(
        ({ status }) => status, ({ name }) => name)`,
    )
    expect(outcome).toBe('TypeError')
    await service.stop()
    expect(await stored()).toEqual([])
  })
})
