/**
 * `npm run soak -- --minutes N`: the real service under a steady mixed load, looked at every second. What grows although
 * the load does not is a leak; here it is a slope. Segments and delivered files are small, so that many come and go.
 *
 *     load of its own process ─▶ service ─▶ file sink (finished files are deleted here) and http sink (an endpoint here)
 *                                  └─ /metrics, /proc ─▶ a sample a second ─▶ slopes ─▶ bench/results/soak.{json,svg}
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { type Answer, type Phase, startLoadProcess } from './support/load-process.ts'
import { chart } from './support/soak-chart.ts'
import { judge, type Sample, SHORT_MINUTES, takeSample } from './support/soak-samples.ts'
import { quantile } from './support/statistics.ts'

const HELP = `npm run soak -- [--minutes N] [--rate EVENTS_PER_SECOND]

Runs the service for N minutes (default 15) under R events a second (default 1000): one event in forty by itself, the rest
in NDJSON of a hundred; sinks file and http. Samples every second; writes bench/results/soak.json and soak.svg.

Flat, and exit code 0, is when over the second half of the run, by linear regression,
  resident memory grows by less than 24 MB an hour, or by less than 3 MB within the run;
  the live heap and open files grow by less than a tenth of their mean;
  the p99 of a write, median of the last quarter, is less than twice that of the second quarter;
  nothing was refused, at the end no sink is further behind than 10 s of load, and the log stays within its limit.
A run of less than ${SHORT_MINUTES} minutes is too short for slopes: it shows that everything works, judges the rest, and writes nothing.`

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '15' },
    rate: { type: 'string', default: '1000' },
    help: { type: 'boolean' },
  },
})
const minutes = Number(values.minutes)
const eventsPerSecond = Number(values.rate)
if (values.help || !(minutes > 0) || !(eventsPerSecond >= 100)) {
  console.error(HELP)
  process.exit(values.help ? 0 : 2)
}

const BATCH = 100
const SINGLE_SHARE = 1 / 40
/** As long as one phase of the load: its answers are in memory until it ends. */
const PHASE_SECONDS = 10
const LOG_MAX_BYTES = 64 * 2 ** 20

const directory = mkdtempSync(join(tmpdir(), 'millrace-soak-'))
const endpoint = createServer((request, response) => {
  request.resume().on('end', () => response.writeHead(204).end())
})
await new Promise<void>((resolve) => endpoint.listen(0, '127.0.0.1', resolve))
const delivered = join(directory, 'delivered')
const service = spawn(process.execPath, [join(import.meta.dirname, '../build/app/cli.js'), 'serve'], {
  env: {
    PATH: process.env.PATH,
    MALLOC_ARENA_MAX: '1',
    PORT: '0',
    ADMIN_PORT: '0',
    DATA_DIR: join(directory, 'data'),
    FILE_SINK_DIR: delivered,
    FILE_SINK_ROLL_BYTES: String(4 * 2 ** 20),
    SINKS: 'file,http',
    HTTP_SINK_URL: `http://127.0.0.1:${(endpoint.address() as AddressInfo).port}/`,
    LOG_SEGMENT_BYTES: String(2 * 2 ** 20),
    LOG_MAX_BYTES: String(LOG_MAX_BYTES),
    LOG_RETENTION_MS: '10000',
  },
  stdio: ['ignore', 'pipe', 'inherit'],
})
let output = ''
service.stdout.setEncoding('utf8').on('data', (text) => {
  output = (output + text).slice(-10_000)
})
const exited = once(service, 'exit')
while (!output.includes('ready:')) await Promise.race([sleep(50), exited.then(() => Promise.reject(new Error(output)))])
const [, url = '', adminUrl = ''] = /send events to (\S+)\/v1\/events.* metrics (\S+)\/metrics/.exec(output) ?? []

const single = { contentType: 'application/json', batch: 1, dataLength: 100, prefix: 's', subjects: 500 } as const
const bulk = { contentType: 'application/x-ndjson', batch: BATCH, dataLength: 100, prefix: 'b', subjects: 500 } as const
const shares: readonly (readonly [Pick<Phase, keyof typeof single>, number])[] = [
  [single, eventsPerSecond * SINGLE_SHARE],
  [bulk, (eventsPerSecond * (1 - SINGLE_SHARE)) / BATCH],
]
const deadline = performance.now() + minutes * 60_000
const latest: Answer[] = []
const tally = { accepted: 0, refused: 0 }
const loads = shares.map(async ([shape, requestsPerSecond]) => {
  const load = startLoadProcess()
  while (performance.now() < deadline) {
    const seconds = Math.min(PHASE_SECONDS, Math.max(1, (deadline - performance.now()) / 1000))
    const answers = await load.run({ url, ...shape, connections: 16, requestsPerSecond, seconds })
    latest.push(...answers)
    const accepted = answers.filter(({ status }) => status === 202).length
    tally.accepted += accepted * shape.batch
    tally.refused += answers.length - accepted
  }
  await load.stop()
})

const samples: Sample[] = []
let clientP99Ms = Number.NaN
const startedAt = performance.now()
const shown = process.stderr.isTTY
while (performance.now() < deadline) {
  await sleep(1000 - ((performance.now() - startedAt) % 1000))
  for (const name of readdirSync(delivered)) if (name.startsWith('events-')) rmSync(join(delivered, name))
  if (latest.length > 0) {
    const latencies = latest.splice(0).map(({ latencyMs }) => latencyMs)
    clientP99Ms = quantile(Float64Array.from(latencies).sort(), 0.99)
  }
  const sample = await takeSample(
    service.pid ?? 0,
    adminUrl,
    (performance.now() - startedAt) / 1000,
    clientP99Ms,
    samples.at(-1),
  )
  samples.push(sample)
  if (shown || samples.length % 30 === 0) {
    const line = `  ${Math.round(sample.seconds)} of ${Math.round(minutes * 60)} s: ${sample.rssMb.toFixed(0)} MB, heap ${sample.heapMb.toFixed(0)} MB, ${sample.files} files, write p99 ${sample.writeP99Ms.toFixed(1)} ms, lag ${sample.lagEvents}, log ${sample.logMb.toFixed(0)} MB`
    process.stderr.write(shown ? `\r${line}   ` : `${line}\n`)
  }
}
if (shown) process.stderr.write('\n')
await Promise.all(loads)
service.kill('SIGTERM')
const [code] = await exited
endpoint.close()
endpoint.closeAllConnections()
rmSync(directory, { recursive: true, force: true })

const verdict = judge(samples, {
  minutes,
  eventsPerSecond,
  refused: tally.refused,
  exitCode: code,
  logMaxMb: LOG_MAX_BYTES / 1e6,
})
if (minutes >= SHORT_MINUTES) {
  const results = join(import.meta.dirname, 'results')
  mkdirSync(results, { recursive: true })
  const run = { minutes, eventsPerSecond, node: process.version, accepted: tally.accepted, refused: tally.refused }
  writeFileSync(join(results, 'soak.svg'), chart(samples, run))
  const columns = Object.keys(samples[0] ?? {}) as (keyof Sample)[]
  const rows = samples.map((sample) => columns.map((name) => Math.round(sample[name] * 10) / 10))
  writeFileSync(
    join(results, 'soak.json'),
    `${JSON.stringify({ ...run, ...verdict, columns }, undefined, 2).replace(/\n}$/, `,\n  "rows": [\n${rows.map((row) => JSON.stringify(row)).join(',\n')}\n]\n}`)}\n`,
  )
}
for (const line of verdict.lines) process.stdout.write(`${line}\n`)
process.exitCode = verdict.isFlat ? 0 : 1
