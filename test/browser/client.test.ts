/**
 * `millrace/client` in a real browser: the example page, behind a proxy that serves it and passes `/v1/events` through to
 * the real service, as a reverse proxy in front of both would. A page of another origin is in
 * cross-origin.test.ts.
 */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { createServer, request as send } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join, resolve } from 'node:path'
import { pipeline } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Browser, type BrowserContext, chromium, type Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest'
import type { ClientStats } from '../../app/client/client.ts'
import { CHROMIUM as executablePath, noChromium as reason } from '../support/chromium.ts'
import { millrace } from '../support/millrace.ts'
import { freePorts } from '../support/ports.ts'
import { type Service, startService } from '../support/service.ts'
import { storedEvents } from '../support/stored-events.ts'
import { temporaryDirectory } from '../support/temporary.ts'

vi.setConfig({ testTimeout: 120_000 })

const PROJECT = resolve(import.meta.dirname, '../..')

let browser: Browser
beforeAll(async () => {
  if (!executablePath) return
  const args = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking']
  browser = await chromium.launch({ executablePath, args })
})
afterAll(async () => await browser?.close())

interface Shop {
  readonly address: string
  /** Starts the service, or starts it again on the same log. */
  start(): Promise<Service>
  /** Ids in the log, once the service has stopped. */
  stored(): Promise<string[]>
}

/**
 * The page and its modules as they are built, and the service behind the same origin.
 * @param delayMs how long events wait in the proxy. It forgets a request that its client has given up by then.
 */
async function openShop(delayMs = 0): Promise<Shop> {
  const directory = temporaryDirectory()
  const built = temporaryDirectory()
  execFileSync(process.execPath, [join(PROJECT, 'scripts/build.ts'), built])
  const [port] = await freePorts(1)
  const proxy = createServer(async (request, response) => {
    const { url = '/', method, headers } = request
    if (url === '/v1/events') {
      await sleep(delayMs)
      if (response.destroyed) return
      const passed = send({ host: '127.0.0.1', port, path: url, method, headers }, (answer) => {
        response.writeHead(answer.statusCode ?? 502, answer.headers)
        pipeline(answer, response, () => undefined)
      })
      // A body that was read half-way, as when the service is killed, is nobody's answer.
      passed.on('error', () => (response.headersSent ? response.destroy() : response.writeHead(502).end()))
      return void request.pipe(passed)
    }
    const [, module] = /^\/client\/([\w-]+\.js)$/.exec(url) ?? []
    if (module) {
      response.setHeader('content-type', 'text/javascript').end(readFileSync(join(built, 'app/client', module)))
    } else if (url === '/') {
      response.setHeader('content-type', 'text/html').end(readFileSync(join(PROJECT, 'examples/client/page.html')))
    } else response.writeHead(404).end()
  })
  await new Promise<void>((done) => proxy.listen(0, '127.0.0.1', done))
  onTestFinished(() => {
    proxy.closeAllConnections()
    proxy.close()
  })
  const environment = { PORT: String(port), DEDUPLICATION_WINDOW_EVENTS: '100000' }
  return {
    address: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}/`,
    start: () => startService(directory, environment),
    stored: async () => {
      const { stdout } = await millrace(['log', 'replay', '--dir', join(directory, 'data/log')])
      return stdout.split('\n').flatMap((line) => (line === '' ? [] : JSON.parse(line).id))
    },
  }
}

async function newContext(): Promise<BrowserContext> {
  const context = await browser.newContext()
  onTestFinished(() => context.close())
  return context
}

async function openPage(context: BrowserContext, { address }: Shop): Promise<Page> {
  const page = await context.newPage()
  await page.goto(address)
  await page.waitForFunction('globalThis.events !== undefined')
  return page
}

const statsOf = (page: Page): Promise<ClientStats> => page.evaluate('events.stats')

/** In the page: tracks so many events, some at a time. @returns their ids. */
const track = (page: Page, events: number, pauseMs: number): Promise<string[]> =>
  page.evaluate(`(async () => {
    const ids = []
    while (ids.length < ${events}) {
      for (let at = 0; at < 50; at++) ids.push(events.track({ data: { at: ids.length, note: 'x'.repeat(80) } }))
      await new Promise((resolve) => setTimeout(resolve, ${pauseMs}))
    }
    return ids
  })()`)

/** As its user closes it: the page hears of it. */
async function closeTab(page: Page): Promise<void> {
  const closed = page.waitForEvent('close')
  await page.close({ runBeforeUnload: true })
  await closed
}

const sorted = (ids: readonly string[]) => ids.toSorted()

describe.skipIf(reason)(`the client in a page${reason ? ` (left out: ${reason})` : ''}`, () => {
  test('10,000 events through a service that is killed twice and a network that goes away: each is there once', async () => {
    const shop = await openShop()
    let service = await shop.start()
    const context = await newContext()
    const page = await openPage(context, shop)
    const tracking = track(page, 10_000, 40)
    for (let kill = 0; kill < 2; kill++) {
      await sleep(1500)
      await service.stop('SIGKILL')
      await sleep(1000)
      service = await shop.start()
    }
    await context.setOffline(true)
    await sleep(2000)
    await context.setOffline(false)
    const ids = await tracking
    expect(await page.evaluate('events.flush({ timeoutMs: 60000 })')).toBe(true)
    const { tracked, sent, rejected, dropped, retries, duplicates } = await statsOf(page)
    // The example has tracked one of its own.
    expect({ tracked, sent, rejected, dropped }).toEqual({ tracked: 10_001, sent: 10_001, rejected: 0, dropped: 0 })
    expect(retries).toBeGreaterThan(0)
    await service.stop()
    const stored = await shop.stored()
    expect(stored.slice(1)).toEqual(ids)
    console.error(`  ${stored.length} events, each once; ${retries} retries, ${duplicates} were there already`)
  })

  test('a click is an event', async () => {
    const shop = await openShop()
    const service = await shop.start()
    const page = await openPage(await newContext(), shop)
    await page.getByRole('button', { name: 'Buy' }).click()
    expect(await page.evaluate('events.flush()')).toBe(true)
    await service.stop()
    expect((await shop.stored()).length).toBe(2)
  })

  test('a tab that is closed sends what it has tracked, also without a store', async () => {
    const shop = await openShop(500)
    const service = await shop.start()
    const context = await newContext()
    const page = await openPage(context, shop)
    const ids: string[] = await page.evaluate(`(async () => {
      const { createClient } = await import('millrace/client')
      const client = createClient({ url: '/', maxBatchAgeMs: 3600000 })
      return Array.from({ length: 150 }, (_, at) => client.track({ data: { at, note: 'x'.repeat(80) } }))
    })()`)
    await closeTab(page)
    await expect.poll(async () => (await shop.stored()).filter((id) => ids.includes(id)).length).toBe(ids.length)
    await service.stop()
    const stored = await shop.stored()
    expect(sorted(stored.filter((id) => ids.includes(id)))).toEqual(sorted(ids))
  })

  test('a tab that is closed while the service is down leaves its events to the next page, each once', async () => {
    const shop = await openShop()
    const context = await newContext()
    const first = await openPage(context, shop)
    const ids = await track(first, 2000, 5)
    // What is being tried is in the database as well.
    await expect.poll(() => storedEvents(first)).toBe(2001)
    await closeTab(first)
    const service = await shop.start()
    const second = await openPage(context, shop)
    await expect.poll(async () => (await statsOf(second)).restored).toBe(2001)
    expect(await second.evaluate('events.flush({ timeoutMs: 30000 })')).toBe(true)
    await service.stop()
    const stored = await shop.stored()
    expect(stored.length).toBe(2002)
    expect(stored.slice(1, -1)).toEqual(ids)
    expect(await storedEvents(second)).toBe(0)
  })

  test('pages side by side leave each other their events; one that is closed leaves them to the next', async () => {
    const shop = await openShop()
    const context = await newContext()
    const first = await openPage(context, shop)
    await track(first, 100, 50)
    const second = await openPage(context, shop)
    await sleep(300)
    expect((await statsOf(second)).restored).toBe(0)
    await closeTab(first)
    const third = await openPage(context, shop)
    await expect.poll(async () => (await statsOf(third)).restored).toBe(101)
    const service = await shop.start()
    for (const page of [second, third]) expect(await page.evaluate('events.flush({ timeoutMs: 30000 })')).toBe(true)
    await service.stop()
    const stored = await shop.stored()
    expect(stored.length).toBe(103)
    expect(new Set(stored).size).toBe(103)
  })
})
