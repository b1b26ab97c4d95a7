/**
 * `npm run import-dashboards`: puts the dashboards into any Grafana over its HTTP API, such as a workspace of Amazon
 * Managed Grafana. Needs GRAFANA_URL and GRAFANA_TOKEN (a service account's, role Editor). Imported again, they are
 * replaced: what was changed by hand is gone, since the source is here.
 */
import { DASHBOARDS } from './dashboards/index.ts'

const FOLDER = { uid: 'millrace', title: 'Millrace' }
/** Grafana's answers for a folder that is there already. */
const EXISTS = [409, 412]

const { GRAFANA_URL, GRAFANA_TOKEN } = process.env
if (!URL.canParse(GRAFANA_URL ?? '') || !GRAFANA_TOKEN) {
  console.error('set GRAFANA_URL (https://…) and GRAFANA_TOKEN (of a service account with the role Editor)')
  process.exit(2)
}
const base = (GRAFANA_URL ?? '').replace(/\/+$/, '')

async function post(path: string, body: unknown, allowed: readonly number[] = []): Promise<void> {
  const response = await fetch(base + path, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${GRAFANA_TOKEN}` },
    body: JSON.stringify(body),
  })
  if (response.ok || allowed.includes(response.status)) return
  throw new Error(`${path}: ${response.status} ${(await response.text()).slice(0, 500)}`)
}

try {
  await post('/api/folders', FOLDER, EXISTS)
  for (const [name, dashboard] of Object.entries(DASHBOARDS)) {
    await post('/api/dashboards/db', { dashboard: { ...dashboard, id: null }, folderUid: FOLDER.uid, overwrite: true })
    process.stdout.write(`${name}: ${base}/d/${dashboard.uid}\n`)
  }
} catch (error) {
  console.error(`not imported: ${error instanceof Error ? error.message : error}`)
  process.exit(1)
}
