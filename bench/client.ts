/**
 * What `millrace/client` costs whoever sends: the same events through it, and as batches that a program makes itself
 * and posts with undici. Both give each event an id and a time, and both run in this process against the same
 * service. Its CPU time says it without the noise of a machine that others use, too.
 */
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { Pool } from 'undici'
import { createClient } from '../app/client/client.ts'
import type { Question } from './question.ts'
import { Collected } from './support/bouts.ts'
import { MILLRACE } from './support/contenders.ts'
import { NDJSON_TYPE } from './support/load.ts'
import { type Case, takeTurns } from './support/rounds.ts'
import { inDirectory, startServer } from './support/server.ts'

const BATCH_EVENTS = 1000
const CONNECTIONS = 4
const EVENTS = 400_000
const SMOKE_EVENTS = 4000
/** Beyond it the program that sends waits: memory would be measured otherwise. */
const MAX_QUEUED_EVENTS = 20_000

const order = (at: number) => ({
  source: '/shop/orders',
  type: 'order.created',
  subject: `customer-${at % 5000}`,
  data: { order: at, total: 19.95, currency: 'EUR', note: 'left at the door, nobody answered the bell' },
})

function linesOf(from: number): string {
  let body = ''
  for (let at = from; at < from + BATCH_EVENTS; at++) {
    const event = { specversion: '1.0', id: randomUUID(), time: new Date().toISOString(), ...order(at) }
    body += `${JSON.stringify(event)}\n`
  }
  return body
}

/** @param bodyOf the events from this number on. */
function raw(pool: Pool, bodyOf: (from: number) => string): Case {
  return async (events) => {
    let next = 0
    const connection = async () => {
      while (next < events) {
        const from = next
        next += BATCH_EVENTS
        const headers = { 'content-type': NDJSON_TYPE }
        const { statusCode, body } = await pool.request({
          ...{ path: '/v1/events', method: 'POST', headers, body: bodyOf(from) },
        })
        const text = await body.text()
        if (statusCode !== 202) throw new Error(`not accepted: ${statusCode} ${text}`)
      }
    }
    await Promise.all(Array.from({ length: CONNECTIONS }, connection))
    return events
  }
}

function throughClient(url: string): Case {
  return async (events) => {
    const client = createClient({ url, maxBatchEvents: BATCH_EVENTS, maxBatchBytes: 2 ** 20, concurrency: CONNECTIONS })
    for (let at = 0; at < events; at++) {
      client.track(order(at))
      while (at % BATCH_EVENTS === 0 && client.stats.queuedEvents > MAX_QUEUED_EVENTS) await sleep(1)
    }
    await client.close({ timeoutMs: 60_000 })
    const { sent } = client.stats
    if (sent !== events) throw new Error(`${sent} of ${events} were acknowledged`)
    return events
  }
}

/** @param costs CPU microseconds of this process for each event, a figure a round. */
function weighed(run: Case, costs: number[]): Case {
  return async (events) => {
    const before = process.cpuUsage()
    const done = await run(events)
    const { user, system } = process.cpuUsage(before)
    costs.push((user + system) / done)
    return done
  }
}

const CLIENT = 'millrace/client'
const UNDICI = 'undici, batches made by hand'

export const clientBench: Question = {
  name: 'client',
  title: 'What the client costs who sends',
  how: `Orders of about 270 bytes, ${BATCH_EVENTS} a request over ${CONNECTIONS} connections, from one process: through \`millrace/client\`, as batches made by hand and posted with undici, and as bodies made before.`,
  targets: [
    { key: 'client-undici', measure: 'eventsPerSecond', of: CLIENT, to: UNDICI, bound: { atLeast: 0.8 } },
    { key: 'client-undici-cpu', measure: 'cpuUsPerEvent', of: CLIENT, to: UNDICI, bound: { atMost: 1.25 } },
  ],
  plots: [],
  async run({ smoke, rounds }) {
    return inDirectory(async (directory) => {
      const server = await startServer(MILLRACE, directory)
      const pool = new Pool(server.url, { connections: CONNECTIONS })
      const made = linesOf(0)
      try {
        const cases = {
          [CLIENT]: throughClient(server.url),
          [UNDICI]: raw(pool, linesOf),
          'undici, the same body again': raw(pool, () => made),
        }
        const costs = new Map(Object.keys(cases).map((name) => [name, [] as number[]]))
        const weighedCases = Object.entries(cases).map(([name, run]) => [name, weighed(run, costs.get(name) ?? [])])
        const rates = await takeTurns(Object.fromEntries(weighedCases), rounds, smoke ? SMOKE_EVENTS : EVENTS)
        const collected = new Collected()
        for (const [subject, figures] of rates) {
          const [, ...counted] = costs.get(subject) ?? [] // the first round compiles
          for (const eventsPerSecond of figures) collected.add(subject, { eventsPerSecond })
          for (const cpuUsPerEvent of counted) collected.add(subject, { cpuUsPerEvent })
        }
        return { series: collected.series }
      } finally {
        await pool.close()
        await server.stop()
      }
    })
  },
}
