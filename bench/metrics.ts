/**
 * What metrics cost: the same service with them and without, small durable requests as fast as they are answered.
 * Both run at once as processes of their own and are loaded in turn, so that a machine whose speed drifts drifts for
 * both. Two processes of the same program differ by a few per cent (when what was compiled), so several pairs are
 * measured, each begun by the other one. CPU time says it again, without the noise of the disk; a scrape is timed by
 * itself, since one in fifteen seconds would not show.
 */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import { startApp } from '../app/app.ts'
import { loadConfig } from '../app/config.ts'
import { IngestCounts, type Metrics } from '../app/metrics.ts'
import { openSockets, requestOf, send } from './load.ts'
import { type Case, measure, type Question } from './rounds.ts'

const CONNECTIONS = 64
const BODY = '{"id":1,"data":"Event 1"}'
const REQUEST = requestOf(BODY, 'application/json')

/** Counts nothing; what is in flight is what the shutdown looks at. */
class NoCounts extends IngestCounts {
  constructor() {
    super({ observe: () => undefined })
  }
  override received(): void {}
  override reject(): void {}
  override refuseRequest(): void {}
}

const WITHOUT: Pick<Metrics, keyof Metrics> = {
  registry: undefined as never,
  ingest: new NoCounts(),
  restore: () => undefined,
  synced: () => undefined,
  damaged: () => undefined,
  logFailed: () => undefined,
  observe: () => undefined,
  loopUse: 0,
  writeBuckets: () => [],
  saturation: () => 0,
  scrape: async () => ({ contentType: 'text/plain', text: '' }),
  close: () => undefined,
}

/** The child: a service, which answers every message with its CPU time so far. */
async function serve(directory: string, withMetrics: boolean): Promise<void> {
  const config = loadConfig({ DATA_DIR: directory, FILE_SINK_DIR: join(directory, 'out'), PORT: '0', ADMIN_PORT: '0' })
  const fail = (error: Error) => {
    throw error
  }
  const app = await startApp(config, pino({ level: 'silent' }), fail, withMetrics ? {} : { metrics: WITHOUT })
  process.on('message', () => process.send?.(process.cpuUsage()))
  process.on('disconnect', () => app.close(0).then(() => process.exit()))
  process.send?.({ url: app.url, adminUrl: app.adminUrl })
}

interface Rig {
  readonly run: Case
  /** CPU microseconds of the service for each request. */
  cpuPerRequest(): number
  scrapeMs(): Promise<number>
  stop(): Promise<void>
}

async function startRig(withMetrics: boolean): Promise<Rig> {
  const directory = mkdtempSync(join(tmpdir(), 'millrace-bench-'))
  const child = fork(import.meta.filename, [directory, String(withMetrics)])
  const [{ url, adminUrl }] = (await once(child, 'message')) as [{ url: string; adminUrl: string }]
  const sockets = await openSockets(url, CONNECTIONS)
  const cpu = async () => {
    child.send('cpu')
    const [{ user, system }] = (await once(child, 'message')) as [NodeJS.CpuUsage]
    return user + system
  }
  const costs: number[] = []
  return {
    run: async (requests) => {
      const before = await cpu()
      await send(sockets, REQUEST, 1, requests)
      costs.push(((await cpu()) - before) / requests)
      return requests
    },
    cpuPerRequest: () => median(costs.slice(1)),
    scrapeMs: async () => {
      const startedAt = performance.now()
      await fetch(`${adminUrl}/metrics`).then((response) => response.text())
      return performance.now() - startedAt
    },
    stop: async () => {
      for (const socket of sockets) socket.destroy()
      child.disconnect()
      await once(child, 'exit')
      rmSync(directory, { recursive: true, force: true })
    },
  }
}

interface Pair {
  /** With metrics, without: requests a second, CPU microseconds a request. */
  readonly rates: readonly [number, number]
  readonly costs: readonly [number, number]
  readonly scrapeMs: number
}

async function measurePair(withFirst: boolean, rounds: number, requests: number): Promise<Pair> {
  const on = await startRig(true)
  const off = await startRig(false)
  try {
    const cases = withFirst ? { on: on.run, off: off.run } : { off: off.run, on: on.run }
    const measured = await measure(cases, rounds, requests)
    const rate = (wanted: string) => measured.find(({ name }) => name === wanted)?.median ?? Number.NaN
    const scrapeMs = await on.scrapeMs()
    return { rates: [rate('on'), rate('off')], costs: [on.cpuPerRequest(), off.cpuPerRequest()], scrapeMs }
  } finally {
    await Promise.all([on.stop(), off.stop()])
  }
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor((values.length - 1) / 2)] ?? Number.NaN
}

export const metricsBench: Question = async (smoke) => {
  const pairs: Pair[] = []
  for (let at = 0; at < (smoke ? 1 : 9); at++) {
    pairs.push(await measurePair(at % 2 === 0, smoke ? 1 : 3, smoke ? 2000 : 20_000))
  }
  const row = (name: string, which: 0 | 1) => {
    const rate = Math.round(median(pairs.map(({ rates }) => rates[which]))).toLocaleString('en')
    return `${name.padEnd(38)}${rate.padStart(8)} ${median(pairs.map(({ costs }) => costs[which]))
      .toFixed(1)
      .padStart(18)}`
  }
  const ratio = (of: 'rates' | 'costs') => {
    const all = pairs.map((pair) => pair[of][0] / pair[of][1])
    return `${median(all).toFixed(3)} (${Math.min(...all).toFixed(3)} … ${Math.max(...all).toFixed(3)})`
  }
  return [
    `${'requests of one event, durable'.padEnd(38)}median/s   CPU µs a request`,
    row('metrics on', 0),
    row('metrics off', 1),
    `on / off, median of ${pairs.length} pairs: throughput ${ratio('rates')}, CPU time ${ratio('costs')}; a scrape takes ${median(pairs.map(({ scrapeMs }) => scrapeMs)).toFixed(1)} ms`,
  ]
}

if (process.argv[1] === import.meta.filename) await serve(process.argv[2] ?? '', process.argv[3] === 'true')
