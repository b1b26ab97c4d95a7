/** A page of another origin in a real browser: `millrace/client` and `sendBeacon`, with a public key. */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Browser, chromium } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest'
import { CHROMIUM as executablePath, noChromium as reason } from '../support/chromium.ts'
import { millrace } from '../support/millrace.ts'
import { freePorts } from '../support/ports.ts'
import { startService } from '../support/service.ts'
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
  const page = await browser.newPage()
  onTestFinished(() => page.close())
  const stored = async (): Promise<string[]> => {
    const { stdout } = await millrace(['log', 'replay', '--dir', join(directory, 'data/log')])
    return stdout.split('\n').flatMap((line) => (line === '' ? [] : JSON.parse(line).id))
  }
  /** In the page: tracks so many events. @returns their ids, and why events were dropped, once all are settled. */
  const track = (events: number) =>
    page.evaluate<{ ids: string[]; failed: string[] }>(`(async () => {
      const { createClient } = await import('/client/client.js')
      const failed = []
      const client = createClient({
        url: '${service.url}',
        key: '${KEY}',
        onDropped: (_events, why) => failed.push(why),
        onRejected: (_events, problem) => failed.push(problem.detail),
      })
      const ids = []
      while (ids.length < ${events}) {
        for (let at = 0; at < 50; at++) ids.push(client.track({ type: 'page.viewed', data: { at: ids.length } }))
        await new Promise((resolve) => setTimeout(resolve, 40))
      }
      await client.flush()
      return { ids, failed }
    })()`)
  return { port, service, start, page, stored, track }
}

describe.skipIf(reason)(`a page of another origin${reason ? ` (left out: ${reason})` : ''}`, () => {
  test('10,000 events with the client and its public key, through a service that is killed: each is there once', async () => {
    const { port, page, service, start, stored, track } = await open()
    await page.goto(`http://127.0.0.1:${port}/`)
    const tracking = track(10_000)
    await sleep(2000)
    await service.stop('SIGKILL')
    await sleep(1000)
    const again = await start()
    const { ids, failed } = await tracking
    expect(failed).toEqual([])
    expect(ids).toHaveLength(10_000)
    await again.stop()
    expect((await stored()).toSorted()).toEqual(ids.toSorted())
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
