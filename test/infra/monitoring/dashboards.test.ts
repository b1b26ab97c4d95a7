import { execFile } from 'node:child_process'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, onTestFinished, test } from 'vitest'
import { DASHBOARDS, expressions } from '../../../infra/monitoring/dashboards/index.ts'

const IMPORT = fileURLToPath(new URL('../../../infra/monitoring/import-dashboards.ts', import.meta.url))
const run = promisify(execFile)

test.each(Object.entries(DASHBOARDS))(
  '%s: panels have a title, a sentence, a unit and a place of their own',
  (_, page) => {
    const taken = new Set<string>()
    expect(page.panels?.length).toBeGreaterThan(8)
    for (const panel of page.panels ?? []) {
      if (!('targets' in panel)) throw new Error(`${panel.title} asks nothing`)
      expect(panel.title).toMatch(/\w/)
      expect(panel.description, panel.title).toMatch(/\.$/)
      expect(panel.fieldConfig?.defaults?.unit, panel.title).toBeTruthy()
      expect(panel.targets?.length, panel.title).toBeGreaterThan(0)
      const { x, y, w, h } = panel.gridPos ?? { x: 0, y: 0, w: 0, h: 0 }
      expect(x + w, panel.title).toBeLessThanOrEqual(24)
      for (let column = x; column < x + w; column++) {
        for (let row = y; row < y + h; row++) {
          expect(taken.has(`${column},${row}`), panel.title).toBe(false)
          taken.add(`${column},${row}`)
        }
      }
    }
  },
)

test('no panel leaves the job open: another service in the same Prometheus is not ours', () => {
  for (const { where, expr } of expressions()) {
    for (const [selected] of expr.matchAll(/\b(?:up|(?:millrace|process|nodejs)_\w+)\b[^{:(]*\{[^}]*\}/g)) {
      expect(selected, where).toContain('job="millrace"')
    }
    expect(expr, where).not.toMatch(/\b(?:millrace|process|nodejs)_\w+(?![\w{])/)
  }
})

test('identities are fixed and different, so that links and imports find them again', () => {
  const uids = Object.values(DASHBOARDS).map(({ uid }) => uid)
  expect(uids).toEqual(['millrace-overview', 'millrace-ingest', 'millrace-delivery', 'millrace-runtime'])
})

/** Answers as Grafana does, for a folder that is there already. */
async function startGrafana(dashboardStatus = 200) {
  const received: {
    path: string
    token: string
    body: { dashboard?: { uid: string; id: null }; folderUid?: string }
  }[] = []
  const server = createServer((request, response) => {
    let body = ''
    request.setEncoding('utf8').on('data', (text) => {
      body += text
    })
    request.on('end', () => {
      const path = request.url ?? ''
      received.push({ path, token: request.headers.authorization ?? '', body: JSON.parse(body) })
      response.writeHead(path === '/api/folders' ? 412 : dashboardStatus).end('{"message":"said by Grafana"}')
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => void server.close())
  return { received, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/` }
}

const importInto = (environment: Record<string, string>) =>
  run(process.execPath, [IMPORT], { env: { PATH: process.env.PATH, ...environment } })

test('the import puts each dashboard into the folder, with the token, and again over the old one', async () => {
  const { received, url } = await startGrafana()
  const { stdout } = await importInto({ GRAFANA_URL: url, GRAFANA_TOKEN: 'secret' })
  expect(stdout.split('\n')[0]).toBe(`overview: ${url}d/millrace-overview`)
  expect(received.map(({ path }) => path)).toEqual(['/api/folders', ...Array(4).fill('/api/dashboards/db')])
  for (const { token, body } of received) {
    expect(token).toBe('Bearer secret')
    if (body.dashboard) expect(body).toMatchObject({ folderUid: 'millrace', overwrite: true, dashboard: { id: null } })
  }
})

test('the import says what is missing, and what Grafana said', async () => {
  await expect(importInto({})).rejects.toMatchObject({ code: 2, stderr: expect.stringContaining('GRAFANA_TOKEN') })
  const { url } = await startGrafana(403)
  await expect(importInto({ GRAFANA_URL: url, GRAFANA_TOKEN: 'x' })).rejects.toMatchObject({
    code: 1,
    stderr: expect.stringContaining('403 {"message":"said by Grafana"}'),
  })
})
