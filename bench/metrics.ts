/**
 * What metrics cost: the same service with them and without, small durable requests as fast as they are answered.
 * Both run at once as processes of their own and are loaded in turn, so that a machine whose speed drifts drifts for
 * both; each round is scraped once, far more often than Prometheus does. CPU time says it again, without the noise of
 * the disk.
 */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import { startApp } from '../app/app.ts'
import { loadConfig } from '../app/config.ts'
import { IngestCounts, type Metrics } from '../app/metrics.ts'
import { type Case, measure, type Question } from './rounds.ts'

const CONNECTIONS = 64
const BODY = '{"id":1,"data":"Event 1"}'
const REQUEST = `POST /v1/events HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: ${BODY.length}\r\n\r\n${BODY}`
const ANSWERED = '{"accepted":1}'

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
  const app = await startApp(config, pino({ level: 'silent' }), fail, withMetrics ? undefined : WITHOUT)
  process.on('message', () => process.send?.(process.cpuUsage()))
  process.on('disconnect', () => app.close(0).then(() => process.exit()))
  process.send?.({ url: app.url, adminUrl: app.adminUrl })
}

/** Sends `requests` over the sockets, one at a time on each, and resolves when all are answered. */
function send(sockets: readonly Socket[], requests: number): Promise<void> {
  return new Promise((resolve, reject) => {
    let toSend = requests
    let toAnswer = requests
    for (const socket of sockets) {
      socket.removeAllListeners('data')
      socket.on('data', (answer: string) => {
        if (!answer.endsWith(ANSWERED)) return reject(new Error(`not accepted: ${answer}`))
        toAnswer -= 1
        if (toSend > 0) {
          toSend -= 1
          socket.write(REQUEST)
        } else if (toAnswer === 0) resolve()
      })
      if (toSend > 0) {
        toSend -= 1
        socket.write(REQUEST)
      }
    }
  })
}

interface Rig {
  readonly run: Case
  /** CPU microseconds of the service for each request that was counted. */
  cpuPerRequest(): number
  stop(): Promise<void>
}

async function startRig(withMetrics: boolean): Promise<Rig> {
  const directory = mkdtempSync(join(tmpdir(), 'millrace-bench-'))
  const child = fork(import.meta.filename, [directory, String(withMetrics)])
  const [{ url, adminUrl }] = (await once(child, 'message')) as [{ url: string; adminUrl: string }]
  const { hostname, port } = new URL(url)
  const sockets = Array.from({ length: CONNECTIONS }, () => connect(Number(port), hostname).setEncoding('utf8'))
  await Promise.all(sockets.map((socket) => once(socket, 'connect')))
  const cpu = async () => {
    child.send('cpu')
    const [{ user, system }] = (await once(child, 'message')) as [NodeJS.CpuUsage]
    return user + system
  }
  const costs: number[] = []
  return {
    run: async (requests) => {
      const before = await cpu()
      await send(sockets, requests)
      await fetch(`${adminUrl}/metrics`).then((response) => response.text())
      costs.push(((await cpu()) - before) / requests)
      return requests
    },
    cpuPerRequest: () => costs.slice(1).sort((a, b) => a - b)[Math.floor((costs.length - 1) / 2)] ?? Number.NaN,
    stop: async () => {
      for (const socket of sockets) socket.destroy()
      child.disconnect()
      await once(child, 'exit')
      rmSync(directory, { recursive: true, force: true })
    },
  }
}

export const metricsBench: Question = async (smoke) => {
  const on = await startRig(true)
  const off = await startRig(false)
  try {
    const cases = { 'metrics on': on.run, 'metrics off': off.run }
    const [withMetrics, without] = await measure(cases, smoke ? 1 : 13, smoke ? 2000 : 60_000)
    if (!withMetrics || !without) throw new Error('nothing was measured')
    const row = (name: string, rate: number, cpu: number) =>
      `${name.padEnd(38)}${Math.round(rate).toLocaleString('en').padStart(8)} ${cpu.toFixed(1).padStart(6)}`
    return [
      `${''.padEnd(38)}median/s  CPU µs a request`,
      row(withMetrics.name, withMetrics.median, on.cpuPerRequest()),
      row(without.name, without.median, off.cpuPerRequest()),
      `on / off: throughput ${(withMetrics.median / without.median).toFixed(3)}, CPU time ${(on.cpuPerRequest() / off.cpuPerRequest()).toFixed(3)}`,
    ]
  } finally {
    await Promise.all([on.stop(), off.stop()])
  }
}

if (process.argv[1] === import.meta.filename) await serve(process.argv[2] ?? '', process.argv[3] === 'true')
