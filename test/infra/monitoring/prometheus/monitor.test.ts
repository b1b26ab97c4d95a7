import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { expect, onTestFinished, test } from 'vitest'
import { startService, until } from '../../../support/service.ts'
import { temporaryDirectory } from '../../../support/temporary.ts'
import { PROMETHEUS } from './programs.ts'
import { freePort } from './server.ts'

const MONITOR = fileURLToPath(new URL('../../../../infra/monitoring/monitor.ts', import.meta.url))

test.skipIf(PROMETHEUS.missing)(
  `npm run monitor scrapes the running service, prints pages that open, and ends with Ctrl-C${PROMETHEUS.why}`,
  async () => {
    const directory = temporaryDirectory()
    const service = await startService(directory)
    const port = await freePort()
    const child = spawn(process.execPath, [MONITOR], {
      cwd: directory,
      env: {
        PATH: process.env.PATH,
        PROMETHEUS_PATH: PROMETHEUS.path,
        PROMETHEUS_PORT: String(port),
        ADMIN_PORT: new URL(service.adminUrl).port,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    const exited = once(child, 'exit')
    onTestFinished(async () => {
      child.kill('SIGTERM')
      await exited
    })
    let output = ''
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text) => {
        output += text
      })
    }
    await until(() => output.includes('ready:'), 30_000, 'it says that it is ready')
    expect(output).not.toContain('nothing answers')
    const pages = output.match(/http:\S+/g) ?? []
    expect(pages).toHaveLength(4)
    for (const page of pages) expect((await fetch(page)).status, page).toBe(200)
    const isUp = async () => {
      const response = await fetch(`http://127.0.0.1:${port}/api/v1/query?query=millrace_build_info`)
      return ((await response.json()) as { data: { result: unknown[] } }).data.result.length === 1
    }
    await until(isUp, 30_000, 'the service is scraped')
    child.kill('SIGINT')
    expect((await exited)[0]).toBe(0)
    await expect(fetch(`http://127.0.0.1:${port}/-/ready`)).rejects.toThrow()
  },
)
