/**
 * `npm run monitor`: a real Prometheus on this machine that scrapes the running service and evaluates its rules, until
 * Ctrl-C. Finds the service as the service finds its own port (ADMIN_HOST, ADMIN_PORT).
 */
import { spawn } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { loadConfig } from '../../app/config.ts'
import { findProgram, HOW_TO_INSTALL, prometheusArguments, prometheusYaml } from './local-prometheus.ts'
import { rulesYaml } from './rules.ts'

const READY_WITHIN_MS = 30_000
const SCRAPE_MS = 5000

const print = (line: string) => process.stdout.write(`${line}\n`)
const { ADMIN_HOST, ADMIN_PORT, DATA_DIR } = loadConfig(process.env)
const port = Number(process.env.PROMETHEUS_PORT || 9090)
const program = findProgram('prometheus', process.env)
if (program === undefined) {
  console.error(HOW_TO_INSTALL)
  process.exit(2)
}

const host = ADMIN_HOST.includes(':') ? `[${ADMIN_HOST}]` : ADMIN_HOST
const target = `${host}:${ADMIN_PORT}`
const url = `http://127.0.0.1:${port}`
const directory = resolve(DATA_DIR, 'prometheus')
const configFile = join(directory, 'prometheus.yaml')
mkdirSync(directory, { recursive: true })
// Runbooks by their full path: an alert's page shows where to read on.
const rules = rulesYaml({ runbooks: `${resolve(import.meta.dirname, '../../docs/runbooks')}/` })
writeFileSync(join(directory, 'rules.yaml'), rules)
writeFileSync(configFile, prometheusYaml({ targets: [target], rulesFile: 'rules.yaml', scrapeMs: SCRAPE_MS }))

const child = spawn(program, prometheusArguments({ configFile, directory, port }), {
  stdio: ['ignore', 'inherit', 'inherit'],
})
let stopping = false
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => {
    stopping = true
    child.kill('SIGTERM')
  })
}
child.on('error', (error) => {
  console.error(`${program} cannot be started: ${error.message}`)
  process.exit(1)
})
child.on('exit', (code) => {
  if (!stopping) console.error(`prometheus ended with ${code}: is port ${port} in use? PROMETHEUS_PORT takes another`)
  process.exit(stopping ? 0 : 1)
})

const answers = (address: string) =>
  fetch(address).then(
    ({ ok }) => ok,
    () => false,
  )
const deadline = Date.now() + READY_WITHIN_MS
while (!(await answers(`${url}/-/ready`)) && Date.now() < deadline) await new Promise((again) => setTimeout(again, 100))
if (!(await answers(`http://${target}/metrics`))) {
  print(
    `nothing answers at http://${target}/metrics yet: start the service with npm start; it is scraped once it is there`,
  )
}
// Debian's package has only the older pages, under another path.
const pages = (await answers(`${url}/alerts`)) ? url : `${url}/classic`
print(`ready: queries ${pages}/graph · alerts ${pages}/alerts · rules ${pages}/rules · targets ${pages}/targets`)
