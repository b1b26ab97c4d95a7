/** The live page in a real browser, beside the real service. Screenshots go to `test/browser/screenshots/`. */
import { mkdirSync, readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { createRequire } from 'node:module'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { type Browser, chromium, type Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { CHROMIUM as executablePath, noChromium as reason } from '../support/chromium.ts'
import { type Service, startService } from '../support/service.ts'
import { temporaryDirectory } from '../support/temporary.ts'

const SCREENSHOTS = join(import.meta.dirname, 'screenshots')
const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')

let browser: Browser
beforeAll(async () => {
  if (!executablePath) return
  mkdirSync(SCREENSHOTS, { recursive: true })
  browser = await chromium.launch({
    executablePath,
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  })
})
afterAll(async () => await browser?.close())

async function open(service: Service, options: { width?: number; colorScheme?: 'dark' | 'light' } = {}): Promise<Page> {
  const { width = 1280, colorScheme = 'light' } = options
  const page = await browser.newPage({ viewport: { width, height: 900 }, colorScheme })
  onTestFinished(() => page.close())
  const problems: string[] = []
  page.on('console', (message) => {
    if (message.type() === 'error') problems.push(message.text())
  })
  page.on('pageerror', (error) => void problems.push(error.message))
  page.on('request', (request) => {
    if (!request.url().startsWith(service.adminUrl) && !request.url().startsWith('data:')) problems.push(request.url())
  })
  await page.goto(service.adminUrl)
  await page.getByText('Live', { exact: true }).waitFor()
  onTestFinished(() => expect(problems).toEqual([]))
  return page
}

/** Sends `count` events in one request. */
async function send({ url }: Service, count: number, from = 0): Promise<void> {
  const lines = Array.from({ length: count }, (_, at) => `{"id":${from + at},"data":"Event ${from + at}"}`)
  const headers = { 'content-type': 'application/x-ndjson' }
  const response = await fetch(`${url}/v1/events`, { method: 'POST', headers, body: lines.join('\n') })
  expect(response.status).toBe(202)
}

async function underLoad(service: Service, forMs: number): Promise<void> {
  const until = Date.now() + forMs
  for (let at = 0; Date.now() < until; at += 100) {
    await send(service, 100, at)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

const figure = (page: Page, list: string, term: string) =>
  page.locator(`#${list} div`, { has: page.getByText(term, { exact: true }) }).locator('dd')

/** Findings of axe that keep somebody from using the page. */
async function seriousFindings(page: Page): Promise<string[]> {
  await page.evaluate(AXE)
  const { violations } = (await page.evaluate('axe.run()')) as {
    violations: { impact: string; id: string; nodes: { html: string }[] }[]
  }
  return violations
    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' ')}`)
}

const shot = (page: Page, name: string) => page.screenshot({ path: join(SCREENSHOTS, `${name}.png`), fullPage: true })

describe.skipIf(reason)(`the live page${reason ? ` (left out: ${reason})` : ''}`, () => {
  test('nothing sent yet: it shows the command that sends the first event', async () => {
    const service = await startService(temporaryDirectory())
    const page = await open(service)
    await expect.poll(() => page.locator('#command').textContent()).toContain(`curl -i ${service.url}/v1/events`)
    await shot(page, 'empty')
    expect(await seriousFindings(page)).toEqual([])
    await send(service, 1)
    await page.locator('#first').waitFor({ state: 'hidden' })
  })

  test.each(['light', 'dark'] as const)('under load, %s: the numbers move', async (colorScheme) => {
    const service = await startService(temporaryDirectory())
    const page = await open(service, { colorScheme })
    await underLoad(service, 6000)
    await expect.poll(() => figure(page, 'flow', 'Received in all').textContent()).not.toBe('0')
    expect(Number.parseFloat((await figure(page, 'latency', 'p99').textContent()) ?? '')).toBeGreaterThan(0)
    await page.locator('#flow-plot canvas').waitFor()
    await shot(page, `load-${colorScheme}`)
    expect(await page.locator('#flow-text').textContent()).toMatch(/at most, in events a second: Received [\d.]+K?/)
    expect(await seriousFindings(page)).toEqual([])
  })

  test('on a phone: nothing is wider than the screen', async () => {
    const service = await startService(temporaryDirectory())
    const page = await open(service, { width: 390 })
    await underLoad(service, 3000)
    await shot(page, 'phone')
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(390)
    expect(await seriousFindings(page)).toEqual([])
  })

  test('a failing sink says why; its dead letters are replayed by a click, and by keyboard alone', async () => {
    let answer = 400
    const received: string[] = []
    const endpoint = createServer((request, response) => {
      let body = ''
      request.on('data', (more) => {
        body += more
      })
      request.on('end', () => {
        if (answer < 300) received.push(JSON.parse(body).id)
        response.writeHead(answer).end('not today')
      })
    })
    await new Promise<void>((resolve) => endpoint.listen(0, '127.0.0.1', resolve))
    onTestFinished(() => {
      endpoint.closeAllConnections()
      endpoint.close()
    })
    const hook = `http://127.0.0.1:${(endpoint.address() as AddressInfo).port}/hook`
    const environment = { SINKS: 'file,http', HTTP_SINK_URL: hook, RETRY_BASE_MS: '50', RETRY_MAX_MS: '200' }
    const service = await startService(temporaryDirectory(), environment)
    const page = await open(service)
    await send(service, 3)
    const row = page.locator('#sinks tr', { has: page.getByRole('rowheader', { name: 'http' }) })
    await expect.poll(() => row.locator('td').nth(3).textContent()).toBe('3')
    await expect.poll(() => page.locator('#letters li').count()).toBe(3)
    expect(await page.locator('#letters li').first().textContent()).toContain('answered 400: not today')

    answer = 503
    await send(service, 50, 100)
    await expect.poll(() => row.locator('.state').textContent()).toContain('failing')
    await shot(page, 'failing-sink')
    expect(await seriousFindings(page)).toEqual([])

    answer = 204
    await expect.poll(() => row.locator('.state').textContent(), { timeout: 10_000 }).toBe('ok')
    await row.getByRole('button').focus()
    await page.keyboard.press('Enter')
    await expect
      .poll(() => page.locator('#replayed').textContent())
      .toBe('http: 3 delivered, 0 are dead letters again.')
    await expect.poll(() => row.locator('td').nth(3).textContent()).toBe('0')
    expect(received.filter((id) => ['0', '1', '2'].includes(id)).sort()).toEqual(['0', '1', '2'])
  })

  test('the service goes away and comes back: the page says so, and goes on', async () => {
    const directory = temporaryDirectory()
    const service = await startService(directory)
    const page = await browser.newPage()
    onTestFinished(() => page.close())
    await page.goto(service.adminUrl)
    await page.getByText('Live', { exact: true }).waitFor()
    await service.stop()
    await page.getByText('Connection lost, trying again').waitFor()
    const again = await startService(directory, { ADMIN_PORT: new URL(service.adminUrl).port })
    await page.getByText('Live', { exact: true }).waitFor()
    await send(again, 5)
    await expect.poll(() => figure(page, 'flow', 'Received in all').textContent()).toBe('5')
  })
})
