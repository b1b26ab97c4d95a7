/**
 * What metrics cost: the same service with them and without, small durable requests as fast as they are answered.
 * Both run at once as processes of their own and are loaded in turn, so that a machine whose speed drifts drifts for
 * both. Two processes of the same program differ by a few per cent (when what was compiled), so several pairs are
 * measured, each begun by the other one. CPU time says it again, without the noise of the disk; a scrape is timed by
 * itself, since one in fifteen seconds would not show.
 */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { pino } from 'pino'
import { startApp } from '../app/app.ts'
import { loadConfig } from '../app/config.ts'
import { setMemoryFlags } from '../app/main.ts'
import { IngestCounts, type Metrics } from '../app/observability/metrics.ts'
import type { Question } from './question.ts'
import { Collected } from './support/bouts.ts'
import { openConnections, send } from './support/load.ts'
import { SMALL_EVENT } from './support/payloads.ts'
import { type Case, takeTurns } from './support/rounds.ts'
import { makeDirectory } from './support/server.ts'
import { median } from './support/statistics.ts'

const CONNECTIONS = 64

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
  setMemoryFlags()
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
  const directory = makeDirectory()
  const child = fork(import.meta.filename, [directory, String(withMetrics)])
  const [{ url, adminUrl }] = (await once(child, 'message')) as [{ url: string; adminUrl: string }]
  const connections = openConnections(url, CONNECTIONS)
  const cpu = async () => {
    child.send('cpu')
    const [{ user, system }] = (await once(child, 'message')) as [NodeJS.CpuUsage]
    return user + system
  }
  const costs: number[] = []
  return {
    run: async (requests) => {
      const before = await cpu()
      await send(connections, SMALL_EVENT, requests)
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
      for (const connection of connections) connection.close()
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
    const rates = await takeTurns(cases, rounds, requests)
    const rate = (name: string) => median(rates.get(name) ?? [])
    const scrapeMs = await on.scrapeMs()
    return { rates: [rate('on'), rate('off')], costs: [on.cpuPerRequest(), off.cpuPerRequest()], scrapeMs }
  } finally {
    await Promise.all([on.stop(), off.stop()])
  }
}

export const metricsBench: Question = {
  name: 'metrics',
  title: 'What metrics cost',
  how: `The same service with metrics and without, at the same time, loaded in turn with small durable requests over ${CONNECTIONS} connections; several pairs, each begun by the other one.`,
  targets: [],
  plots: [],
  async run({ smoke }) {
    const collected = new Collected()
    for (let at = 0; at < (smoke ? 1 : 9); at++) {
      const { rates, costs, scrapeMs } = await measurePair(at % 2 === 0, smoke ? 1 : 3, smoke ? 2000 : 20_000)
      collected.add('metrics on', { requestsPerSecond: rates[0], cpuUsPerRequest: costs[0], scrapeMs })
      collected.add('metrics off', { requestsPerSecond: rates[1], cpuUsPerRequest: costs[1] })
    }
    return { series: collected.series }
  },
}

if (process.argv[1] === import.meta.filename) await serve(process.argv[2] ?? '', process.argv[3] === 'true')
