/**
 * `npm run picture`: the live page of a service under load, light and dark, for the README: docs/public/live-page*.png.
 * Needs a Chromium: CHROMIUM_PATH, or one on the PATH. Takes two minutes.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { chromium } from 'playwright-core'

const PROJECT = resolve(import.meta.dirname, '..')
const CLI = join(PROJECT, 'build/app/cli.js')
const READY = /send events to (\S+)\/v1\/events .* live page (\S+) /
/** Long enough for the plots to have something to show. */
const LOAD_SECONDS = 90
const EVENTS_PER_SECOND = 4000
const SIZE = { width: 1280, height: 814 } // to the end of a row of cards

const names = ['chromium', 'chromium-browser', 'google-chrome']
const found = spawnSync('which', names, { encoding: 'utf8' }).stdout.split('\n')[0]
const executablePath = process.env.CHROMIUM_PATH || found
if (!executablePath) throw new Error('no Chromium on the PATH: install one, or name it in CHROMIUM_PATH')

spawnSync(process.execPath, ['scripts/build.ts'], { cwd: PROJECT, stdio: 'inherit' })
const directory = mkdtempSync(join(tmpdir(), 'millrace-picture-'))
const env = { PATH: process.env.PATH, PORT: '0', ADMIN_PORT: '0', SINKS: 'file,stdout' }
const service = spawn(process.execPath, [CLI, 'serve'], { cwd: directory, env, stdio: ['ignore', 'pipe', 'pipe'] })
service.stdout.resume() // the stdout sink writes events here

try {
  const [url, adminUrl] = await addressesOf(service)
  const count = String(EVENTS_PER_SECOND * LOAD_SECONDS)
  const load = ['send', '--url', url, '--count', count, '--rate', String(EVENTS_PER_SECOND), '--batch', '20']
  const sender = spawn(process.execPath, [CLI, ...load], { stdio: 'ignore' })
  console.error(`${LOAD_SECONDS} s of ${EVENTS_PER_SECOND} events/s to ${url}`)
  const browser = await chromium.launch({ executablePath, args: ['--no-sandbox'] })
  const pages = await Promise.all(
    (['light', 'dark'] as const).map(async (colorScheme) => {
      const page = await browser.newPage({ colorScheme, viewport: SIZE, deviceScaleFactor: 1 })
      await page.goto(adminUrl)
      return [colorScheme, page] as const
    }),
  )
  await sleep((LOAD_SECONDS - 10) * 1000)
  for (const [colorScheme, page] of pages) {
    const name = colorScheme === 'light' ? 'live-page.png' : 'live-page-dark.png'
    await page.screenshot({ path: join(PROJECT, 'docs/public', name) })
    console.error(`docs/public/${name}`)
  }
  await browser.close()
  await once(sender, 'exit')
} finally {
  service.kill('SIGTERM')
  if (service.exitCode === null) await once(service, 'exit')
  rmSync(directory, { recursive: true, force: true })
}

async function addressesOf({ stdout, stderr }: ChildProcess): Promise<[string, string]> {
  let output = ''
  for (const stream of [stdout, stderr]) stream?.setEncoding('utf8').on('data', (text) => (output += text))
  for (let tries = 0; tries < 100; tries++) {
    const [, url, adminUrl] = READY.exec(output) ?? []
    if (url !== undefined && adminUrl !== undefined) return [url, adminUrl]
    await sleep(100)
  }
  throw new Error(`the service is not ready after ten seconds:\n${output}`)
}
