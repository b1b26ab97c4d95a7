/**
 * The capacity of one core, for `millrace plan`: events for each second of CPU time of all threads of the service. So
 * neither the client on the same machine nor a wait for the disk counts. `infra/sizing/figures.ts` holds the slowest
 * round of each.
 *
 *     ingest     the only sink is unreachable, so nothing is delivered: HTTP, parsing, group commit
 *     delivery   the log is full at the start, and nothing is sent: reading, decoding, the file sink
 *
 * Variables of the service apply, so Kafka can be measured in the same way:
 * `LOG_ENGINE=kafka KAFKA_BROKERS=… npm run bench -- capacity`.
 */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { rmSync } from 'node:fs'
import { basename, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { pino } from 'pino'
import { startApp } from '../app/app.ts'
import { loadConfig } from '../app/config.ts'
import { setMemoryFlags } from '../app/main.ts'
import { POINTS, type Point } from '../infra/sizing/figures.ts'
import type { Question } from './question.ts'
import { Collected } from './support/bouts.ts'
import { openConnections, requestOf, send } from './support/load.ts'
import { ndjson } from './support/payloads.ts'
import { progress } from './support/progress.ts'
import { makeDirectory } from './support/server.ts'

const CONNECTIONS = 64
/** Nobody listens there. */
const UNREACHABLE = 'http://127.0.0.1:9/'
/** Bytes that are sent in a round. */
const ROUND_BYTES = 64 * 2 ** 20
const ROUND_MAX_REQUESTS = 20_000
/** A scrape costs 6 ms. */
const POLL_MS = 500

/** The child: a service, which answers every message with its CPU time so far. */
async function serve(variables: NodeJS.ProcessEnv): Promise<void> {
  const fail = (error: Error) => {
    throw error
  }
  setMemoryFlags()
  const app = await startApp(loadConfig(variables), pino({ level: 'silent' }), fail)
  process.on('message', () => process.send?.(process.cpuUsage()))
  process.on('disconnect', () => app.close(0).then(() => process.exit()))
  process.send?.({ url: app.url, adminUrl: app.adminUrl })
}

interface Service {
  readonly url: string
  cpuSeconds(): Promise<number>
  deliveredEvents(): Promise<number>
  stop(): Promise<void>
}

async function start(directory: string, role: 'ingest' | 'deliver', sink: 'http' | 'file'): Promise<Service> {
  const variables = {
    ...process.env,
    ...(process.env.LOG_ENGINE === 'kafka' && {
      ROLE: role,
      KAFKA_TOPIC: basename(directory),
      KAFKA_CREATE_TOPICS: 'true',
    }),
    DATA_DIR: directory,
    FILE_SINK_DIR: join(directory, 'out'),
    SINKS: sink,
    HTTP_SINK_URL: UNREACHABLE,
    PORT: '0',
    ADMIN_PORT: '0',
    SHUTDOWN_DRAIN_MS: '0',
  }
  const child = fork(import.meta.filename, [JSON.stringify(variables)])
  const [{ url, adminUrl }] = (await once(child, 'message')) as [{ url: string; adminUrl: string }]
  return {
    url,
    cpuSeconds: async () => {
      child.send('cpu')
      const [{ user, system }] = (await once(child, 'message')) as [NodeJS.CpuUsage]
      return (user + system) / 1e6
    },
    deliveredEvents: async () => {
      const text = await (await fetch(`${adminUrl}/metrics`)).text()
      return Number(/^millrace_events_delivered_total\{.*sink="file".*\} (\S+)$/m.exec(text)?.[1] ?? 0)
    },
    stop: async () => {
      child.disconnect()
      await once(child, 'exit')
    },
  }
}

const READING = '{"sensor":"t-17","value":20.125,"ok":true},'
const AFTER_READINGS = '{}],"note":""}}'
const SHORT_BYTES = 200

function linesOf({ events, bytes }: Point): string[] {
  return Array.from({ length: events }, (_, at) => eventOf(bytes, 10_000_000 + at))
}

/**
 * Of so many bytes: short ones as a client writes them by hand, else a complete CloudEvent with a list of short
 * objects.
 */
function eventOf(bytes: number, id: number): string {
  if (bytes < SHORT_BYTES) {
    const head = `{"id":${id},"data":"`
    return `${head}${'.'.repeat(bytes - head.length - 2)}"}`
  }
  const head = `{"specversion":"1.0","id":"${id}","source":"/plant/7","type":"reading","subject":"machine-${1000 + (id % 97)}","time":"2026-11-23T12:00:00Z","data":{"readings":[`
  const room = bytes - head.length - AFTER_READINGS.length
  const readings = READING.repeat(Math.floor(room / READING.length))
  return `${head}${readings}{}],"note":"${'.'.repeat(room - readings.length)}"}}`
}

interface Ingested {
  /** For each second of CPU time, one figure a round. */
  readonly rates: readonly number[]
  readonly events: number
}

/** Leaves the log behind in `directory`. */
async function ingest(directory: string, point: Point, rounds: number, share: number): Promise<Ingested> {
  const service = await start(directory, 'ingest', 'http')
  const connections = openConnections(service.url, CONNECTIONS)
  const payload = ndjson(linesOf(point))
  const requests = Math.ceil(share * Math.min(ROUND_MAX_REQUESTS, ROUND_BYTES / requestOf(payload).length))
  const rates: number[] = []
  try {
    for (let round = 0; round <= rounds; round++) {
      const before = await service.cpuSeconds()
      await send(connections, payload, requests)
      rates.push((requests * point.events) / ((await service.cpuSeconds()) - before))
    }
  } finally {
    for (const connection of connections) connection.close()
    await service.stop()
  }
  // The first round compiles.
  return { rates: rates.slice(1), events: rates.length * requests * point.events }
}

/** The same for delivering the `events` that are in the log. */
async function deliver(directory: string, events: number): Promise<number> {
  const service = await start(directory, 'deliver', 'file')
  try {
    const before = await service.cpuSeconds()
    const deliveredBefore = await service.deliveredEvents()
    while ((await service.deliveredEvents()) < events) await sleep(POLL_MS)
    return (events - deliveredBefore) / ((await service.cpuSeconds()) - before)
  } finally {
    await service.stop()
  }
}

export const capacityBench: Question = {
  name: 'capacity',
  title: 'What one core does',
  how: `Events for each second of CPU time of the service, over all of its threads: what \`millrace plan\` computes with.`,
  targets: [],
  plots: [],
  async run({ smoke }) {
    const collected = new Collected()
    for (const [name, point] of Object.entries(POINTS)) {
      for (let run = 0; run < (smoke ? 1 : 3); run++) {
        progress(`${name}, run ${run + 1}`)
        const directory = makeDirectory()
        try {
          const { rates, events } = await ingest(directory, point, smoke ? 1 : 5, smoke ? 0.05 : 1)
          for (const eventsPerCpuSecond of rates) collected.add(`ingest ${name}`, { eventsPerCpuSecond })
          // One by one or together: the log holds the same.
          if (point.events > 1)
            collected.add(`deliver ${name}`, { eventsPerCpuSecond: await deliver(directory, events) })
        } finally {
          rmSync(directory, { recursive: true, force: true })
        }
      }
    }
    return { series: collected.series }
  },
}

if (process.argv[1] === import.meta.filename) await serve(JSON.parse(process.argv[2] ?? '{}'))
