/** The documentation site: built offline, every link and anchor of it, and what a reader sees in light and in dark. */
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { extname, join, resolve } from 'node:path'
import { type Browser, chromium, type Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { CHROMIUM as executablePath, noChromium as noBrowser } from '../support/chromium.ts'

const PROJECT = resolve(import.meta.dirname, '../..')
const SCREENSHOTS = join(import.meta.dirname, 'screenshots')
const BASE = '/millrace/'
const BUILD_TIMEOUT_MS = 5 * 60_000
/** A network namespace of its own has no network, not even loopback. Where it is not allowed, the build has this one. */
const WITHOUT_NETWORK = ['--map-root-user', '--net']
const offline = spawnSync('unshare', [...WITHOUT_NETWORK, 'true']).status === 0

let directory: string
/** Path below the site's base, such as `concepts.html` → HTML. */
let pages: Map<string, string>

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'millrace-site-'))
  const build = ['npm', 'run', 'docs:build', '--', '--outDir', directory]
  const [program = '', ...parameters] = offline ? ['unshare', ...WITHOUT_NETWORK, ...build] : build
  execFileSync(program, parameters, {
    cwd: PROJECT,
    env: { ...process.env, SITE_BASE: BASE, GITHUB_REPOSITORY: 'owner/project' },
    stdio: 'pipe',
  })
  const files = readdirSync(directory, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.html'))
  pages = new Map(files.map((file) => [file, readFileSync(join(directory, file), 'utf8')]))
}, BUILD_TIMEOUT_MS)
afterAll(() => rmSync(directory, { recursive: true, force: true }))

/** The built file behind a URL below the base, as GitHub Pages finds it. */
function fileOf(path: string): string | undefined {
  const names = path === '' || path.endsWith('/') ? [`${path}index.html`] : [path, `${path}.html`]
  return names.find((name) => existsSync(join(directory, name)) && extname(name) !== '')
}

test('every page of docs/ is on the site', () => {
  const sources = readdirSync(join(PROJECT, 'docs'), { recursive: true, encoding: 'utf8' })
  const expected = sources
    .filter((file) => file.endsWith('.md') && !file.startsWith('.vitepress'))
    .map((file) => file.replace(/README\.md$/, 'index.md').replace(/\.md$/, '.html'))
  expect(expected.length).toBeGreaterThan(60)
  expect([...pages.keys()].filter((file) => file !== '404.html').sort()).toEqual(expected.sort())
})

test('every internal link leads to a page, and every anchor to a place on it', () => {
  const broken: string[] = []
  let checked = 0
  for (const [page, html] of pages) {
    for (const [, , href = ''] of html.matchAll(/<(?:a|img|link|script)\b[^>]*? (href|src)="([^"]*)"/g)) {
      const url = new URL(href.replaceAll('&amp;', '&'), `http://site${BASE}${page}`)
      if (url.host !== 'site') continue
      checked++
      const path = decodeURI(url.pathname)
      const file = path.startsWith(BASE) ? fileOf(path.slice(BASE.length)) : undefined
      const anchor = decodeURIComponent(url.hash.slice(1))
      const hasAnchor = anchor === '' || (file !== undefined && pages.get(file)?.includes(`id="${anchor}"`))
      if (file === undefined || !hasAnchor) broken.push(`${page}: ${href}`)
    }
  }
  expect(checked).toBeGreaterThan(1000)
  expect([...new Set(broken)]).toEqual([])
})

test('a link that leaves docs/ leads to a file that the project has', () => {
  const linked = [...pages.values()].flatMap((html) => [
    ...html.matchAll(/href="https:\/\/github\.com\/owner\/project\/blob\/main\/([^"#]*)/g),
  ])
  const files = new Set(linked.map(([, file = '']) => file))
  expect(files.size).toBeGreaterThan(20)
  expect([...files].filter((file) => !existsSync(join(PROJECT, file)))).toEqual([])
})

test('llms.txt names every page with a sentence', () => {
  const text = readFileSync(join(directory, 'llms.txt'), 'utf8')
  const links = [...text.matchAll(/^- \[[^\]]+\]\(\/millrace\/([^)]*)\): (.+)$/gm)]
  expect(links.length).toBe(pages.size - 1) // without 404.html
  for (const [, path = '', sentence = ''] of links) {
    expect(fileOf(path), path).toBeDefined()
    expect(sentence.length, path).toBeGreaterThan(20)
  }
  expect(readFileSync(join(directory, 'llms-full.txt'), 'utf8')).toContain('# Concepts')
})

const MAX_CLICKS = 2
/** What readers ask most: where the answer stands, and words of it. */
const QUESTIONS: readonly {
  readonly asks: string
  readonly page: string
  readonly id: string
  readonly says: string
}[] = [
  { asks: 'How do I start it and send an event?', page: '', id: 'start', says: 'npm start' },
  {
    asks: 'Can an acknowledged event be lost?',
    page: 'concepts',
    id: 'group-commit-shares-one-sync',
    says: 'comes after the sync',
  },
  { asks: 'Can an event arrive twice?', page: 'send', id: 'duplicates', says: 'DEDUPLICATION_WINDOW_EVENTS' },
  { asks: 'How do I change events on their way?', page: 'handlers', id: 'handlers', says: 'export const mine' },
  { asks: 'How do I send only some events somewhere?', page: 'routes', id: 'routes', says: 'filter' },
  {
    asks: 'What if a destination is down?',
    page: 'concepts',
    id: 'dead-letters-keep-what-cannot-be-delivered',
    says: 'not available',
  },
  { asks: 'How do I replay what failed?', page: 'runbooks/dead-letters', id: 'what-to-do', says: 'dlq replay' },
  { asks: 'Who may send, and how do I add a key?', page: 'send', id: 'who-may-send', says: 'API_KEYS' },
  { asks: 'How do I deploy it to AWS?', page: 'runbooks/deploy', id: 'the-first-time', says: 'npm run deploy' },
  { asks: 'What does it cost?', page: 'infrastructure', id: 'what-it-costs', says: 'a month' },
]

/** The text of a page that its author wrote, without menus. */
const contentOf = (page: string) => /<main[\s\S]*?<\/main>/.exec(pages.get(fileOf(page) ?? '') ?? '')?.[0] ?? ''

/** Clicks on links in the text, from the first page. Path of a page → how many. */
function clicksTo(): Map<string, number> {
  const clicks = new Map([['', 0]])
  for (const [page, count] of clicks) {
    for (const [, href = ''] of contentOf(page).matchAll(/<a\b[^>]*? href="([^"]*)"/g)) {
      const { host, pathname } = new URL(href.replaceAll('&amp;', '&'), `http://site${BASE}${page}`)
      const path = pathname.slice(BASE.length)
      if (host === 'site' && !clicks.has(path)) clicks.set(path, count + 1)
    }
  }
  return clicks
}

test('the ten commonest questions are answered within two clicks, without menu and search', () => {
  const clicks = clicksTo()
  expect(QUESTIONS).toHaveLength(10)
  for (const { asks, page, id, says } of QUESTIONS) {
    const [, answer = ''] = contentOf(page).split(new RegExp(`<h[1-3] id="${id}"`))
    const [section = ''] = answer.split(/<h[12] id=/)
    expect(section.replaceAll(/<[^>]*>/g, ''), `${asks} (${page}#${id})`).toContain(says)
    const count = clicks.get(page) ?? Number.POSITIVE_INFINITY
    expect(count, asks).toBeLessThanOrEqual(MAX_CLICKS)
    console.error(`  ${count} clicks: ${asks}`)
  }
})

describe.skipIf(noBrowser)(`in a browser${noBrowser ? ` (left out: ${noBrowser})` : ''}`, () => {
  let browser: Browser
  let server: Server
  let url: string

  beforeAll(async () => {
    const types: Readonly<Record<string, string>> = {
      ...{ '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml' },
    }
    server = createServer((request, response) => {
      const { pathname } = new URL(request.url ?? '/', 'http://site')
      const file = pathname.startsWith(BASE) ? fileOf(pathname.slice(BASE.length)) : undefined
      response.writeHead(file === undefined ? 404 : 200, { 'content-type': types[extname(file ?? '')] ?? 'text/plain' })
      response.end(file === undefined ? '' : readFileSync(join(directory, file)))
    })
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}${BASE}`
    const args = ['--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking']
    browser = await chromium.launch({ executablePath: executablePath ?? '', args })
    mkdirSync(SCREENSHOTS, { recursive: true })
  })
  afterAll(async () => {
    await browser?.close()
    server?.close()
  })

  /** A page that fails its test when it reports an error or asks another host for anything. */
  async function open(path: string, colorScheme: 'light' | 'dark', width = 1280): Promise<Page> {
    const page = await browser.newPage({ colorScheme, viewport: { width, height: 900 } })
    const problems: string[] = []
    page.on('console', (message) => message.type() === 'error' && problems.push(message.text()))
    page.on('pageerror', ({ message }) => problems.push(message))
    page.on(
      'request',
      (request) => /^http/.test(request.url()) && !request.url().startsWith(url) && problems.push(request.url()),
    )
    onTestFinished(async () => {
      await page.close()
      expect(problems).toEqual([])
    })
    await page.goto(url + path, { waitUntil: 'networkidle' })
    return page
  }

  const SHOWN = { start: '', concepts: 'concepts', reference: 'reference/variables', infrastructure: 'infrastructure' }
  for (const [name, path] of Object.entries(SHOWN)) {
    test.each(['light', 'dark'] as const)(`${name} can be read in %s`, async (scheme) => {
      const page = await open(path, scheme)
      await page.screenshot({ path: join(SCREENSHOTS, `site-${name}-${scheme}.png`), fullPage: name === 'concepts' })
      await page.addScriptTag({ path: join(PROJECT, 'node_modules/axe-core/axe.min.js') })
      const violations = await page.evaluate(async () => {
        const { axe } = globalThis as unknown as { axe: typeof import('axe-core') }
        const { violations } = await axe.run('.vp-doc', { runOnly: ['wcag2a', 'wcag2aa'] })
        return violations.map(({ id, nodes }) => [id, nodes.map(({ target }) => target.join(' '))])
      })
      expect(violations).toEqual([])
    })
  }

  test('the pictures are drawn when the site is built, in the colours of the theme', async () => {
    const page = await open('concepts', 'dark')
    const pictures = page.locator('.diagram svg')
    expect(await pictures.count()).toBe(6)
    expect(await pictures.first().textContent()).toContain('group commit')
  })

  test('search finds a page without a server', async () => {
    const page = await open('', 'light')
    await page.locator('.VPNavBarSearch button').click()
    await page.locator('#localsearch-input').fill('dead letters')
    await expect.poll(() => page.locator('.VPLocalSearchBox .result').count()).toBeGreaterThan(0)
    await page.screenshot({ path: join(SCREENSHOTS, 'site-search.png') })
  })

  test('on a telephone nothing is wider than the screen', async () => {
    for (const path of Object.values(SHOWN)) {
      const page = await open(path, 'light', 390)
      const width = await page.evaluate('document.documentElement.scrollWidth')
      expect(width, path).toBeLessThanOrEqual(390)
    }
  })
})
