/** A client that sends as fast as it is answered and remembers which ids were acknowledged and which were only sent. */
import { Agent, request } from 'node:http'

export interface Load {
  readonly sent: Set<string>
  readonly acknowledged: Set<string>
  /** Answers by status; `0` counts connections that broke. */
  readonly statuses: Map<number, number>
  /** Slowest answer, and slowest one with a status of 5xx, milliseconds. */
  slowestMs: number
  slowestRefusalMs: number
  stop(): Promise<void>
}

export interface LoadOptions {
  readonly connections: number
  /** Events in one request; 1 sends JSON, more NDJSON. */
  readonly batch: number
  /** Prefix of the ids, so that several loads do not collide. */
  readonly prefix?: string
  /** How many subjects the events are spread over. */
  readonly subjects?: number
  /** Characters of data in each event. */
  readonly dataLength?: number
  /** Pause of each connection after an answer. */
  readonly pauseMs?: number
  /** What its connections are made with, such as one for TLS. Default: HTTP, kept alive. */
  readonly agent?: Agent
  /** false keeps no ids: for loads that run for minutes. Default: true. */
  readonly remember?: boolean
}

/** Runs until stopped. The number in `data.seq` of one subject only rises. */
export function startLoad(url: string, options: LoadOptions): Load {
  const { connections, batch, prefix = 'e', subjects = 10, dataLength = 0, pauseMs = 0, remember = true } = options
  const agent = options.agent ?? new Agent({ keepAlive: true, maxSockets: connections })
  const padding = 'x'.repeat(dataLength)
  let next = 0
  let stopped = false
  const load = {
    sent: new Set<string>(),
    acknowledged: new Set<string>(),
    statuses: new Map<number, number>(),
    slowestMs: 0,
    slowestRefusalMs: 0,
  }
  const connection = async (lane: number) => {
    while (!stopped) {
      const ids: string[] = []
      let body = ''
      for (let at = 0; at < batch; at++) {
        const seq = next++
        const id = `${prefix}${seq}`
        // A subject belongs to one connection, or its order would be nobody's promise.
        const subject = `${prefix}s${lane}-${seq % subjects}`
        if (remember) {
          ids.push(id)
          load.sent.add(id)
        }
        body += `${JSON.stringify({ id, subject, data: { seq, padding } })}\n`
      }
      const startedAt = performance.now()
      const { status, rejected } = await post(agent, url, body, batch > 1)
      load.statuses.set(status, (load.statuses.get(status) ?? 0) + 1)
      if (status === 202) for (const [at, id] of ids.entries()) if (!rejected.has(at)) load.acknowledged.add(id)
      const tookMs = performance.now() - startedAt
      load.slowestMs = Math.max(load.slowestMs, tookMs)
      if (status >= 500) load.slowestRefusalMs = Math.max(load.slowestRefusalMs, tookMs)
      const waitMs = status === 0 || status >= 500 ? Math.max(pauseMs, 5) : pauseMs
      if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, waitMs))
    }
  }
  const running = Promise.all(Array.from({ length: connections }, (_, lane) => connection(lane)))
  return Object.assign(load, {
    stop: async () => {
      stopped = true
      await running
      agent.destroy()
    },
  })
}

const BULK_EVENTS = 4000
const BULK_CONNECTIONS = 4

/**
 * Sends `total` events of about 200 bytes in bulk; `data.seq` and the end of the id count up from 0.
 * @throws Error when one of them was not accepted.
 */
export async function sendEvents(url: string, total: number, prefix = 'm'): Promise<void> {
  const agent = new Agent({ keepAlive: true, maxSockets: BULK_CONNECTIONS })
  let next = 0
  const connection = async () => {
    while (next < total) {
      const from = next
      next = Math.min(total, next + BULK_EVENTS)
      let body = ''
      for (let seq = from; seq < next; seq++) {
        body += `{"id":"${prefix}${seq}","type":"order.created","subject":"customer-${seq % 5000}","data":{"seq":${seq},"amount":${(seq * 7919) % 10_007},"currency":"EUR","items":["A-${seq % 313}","B-${seq % 97}"],"note":"left at the door"}}\n`
      }
      for (;;) {
        const { status, rejected } = await post(agent, url, body, true)
        if (status === 202 && rejected.size === 0) break
        if (status !== 503) throw new Error(`answered ${status}, ${rejected.size} rejected`)
        await new Promise((resolve) => setTimeout(resolve, 50))
      }
    }
  }
  await Promise.all(Array.from({ length: BULK_CONNECTIONS }, connection))
  agent.destroy()
}

/** Events a second, for people. */
export function rate(events: number, ms: number): string {
  return Math.round((events / ms) * 1000).toLocaleString('en')
}

interface Answer {
  /** 0 when there was none. */
  readonly status: number
  /** Places of the events that were not accepted although others were. */
  readonly rejected: ReadonlySet<number>
}

const NONE: ReadonlySet<number> = new Set()

function post(agent: Agent, url: string, body: string, ndjson: boolean): Promise<Answer> {
  return new Promise((resolve) => {
    const headers = {
      'content-type': ndjson ? 'application/x-ndjson' : 'application/json',
      'content-length': Buffer.byteLength(body),
    }
    const broken = () => resolve({ status: 0, rejected: NONE })
    const sending = request(`${url}/v1/events`, { method: 'POST', agent, headers }, (response) => {
      let text = ''
      response.on('error', broken)
      response.setEncoding('utf8').on('data', (chunk) => (text += chunk))
      response.on('end', () => {
        const { rejected = [] }: { rejected?: { index: number }[] } = text.includes('"rejected"')
          ? JSON.parse(text)
          : {}
        resolve({ status: response.statusCode ?? 0, rejected: new Set(rejected.map(({ index }) => index)) })
      })
    })
    sending.on('error', broken)
    sending.end(body)
  })
}
