/**
 * Load from a process of its own, so that neither its event loop nor its heap is the one that is measured or asserted in.
 * Bodies are made once and only their first id changes: an event costs the client a copy, the service everything else.
 *
 *     closed loop   each connection sends when it is answered: what the service can do
 *     open loop     request n is due at n / rate, whatever was answered; its latency counts from there, so that a service
 *                   that stalls cannot hide it by slowing the client down
 */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { openConnections } from './load.ts'

export interface Phase {
  readonly url: string
  readonly seconds: number
  /** Opened and answered once before the phase begins: Node accepts one a turn of its event loop. */
  readonly connections: number
  /** Requests a second of an open loop. Default: a closed loop. */
  readonly requestsPerSecond?: number
  readonly contentType: 'application/json' | 'application/x-ndjson'
  /** Events in one request. */
  readonly batch: number
  /** Characters of data in each event; 0 is a number. */
  readonly dataLength: number
  /** The first event of each request has the id `<prefix><number, ten digits>`. */
  readonly prefix: string
  readonly key?: string
  /** How many subjects the events are spread over. Default: they have none. */
  readonly subjects?: number
  /** Whether the type of each event has an escape: then a service has to look at it with care. Default: it has none. */
  readonly isEscaped?: boolean
}

/** One answer. */
export interface Answer {
  /** Number in the id. */
  readonly request: number
  /** From the begin of the phase. */
  readonly dueMs: number
  readonly latencyMs: number
  /** 0: the connection broke. */
  readonly status: number
}

export interface LoadProcess {
  /** Runs one phase at a time, to the last answer. */
  run(phase: Phase): Promise<Answer[]>
  stop(): Promise<void>
}

const DIGITS = 10
const PROBE = 'GET /health/live HTTP/1.1\r\nhost: localhost\r\n\r\n'
const TICK_MS = 2
/** After the phase: answers that have not come by then count as broken. */
const LAST_ANSWER_MS = 30_000

export function startLoadProcess(): LoadProcess {
  const child = fork(import.meta.filename, { serialization: 'advanced' })
  const exited = once(child, 'exit')
  return {
    run: async (phase) => {
      child.send(phase)
      const message = await Promise.race([once(child, 'message'), exited.then(() => undefined)])
      if (message === undefined) throw new Error('the load ended before its phase')
      const [values] = message as [Float64Array]
      return Array.from({ length: values.length / 4 }, (_, at) => {
        const [request = 0, dueMs = 0, latencyMs = 0, status = 0] = values.subarray(4 * at)
        return { request, dueMs, latencyMs, status }
      })
    },
    stop: async () => {
      child.kill()
      await exited
    },
  }
}

/** Requests as two parts: a small one with its number, and the large rest that they share. */
function requestsOf({
  contentType,
  batch,
  dataLength,
  prefix,
  key,
  subjects,
  isEscaped = false,
}: Phase): (request: number) => [string, Buffer] {
  const isArray = contentType === 'application/json'
  const [open, joint, close] = isArray ? ['[', ',', ']'] : ['', '\n', '\n']
  const data = dataLength === 0 ? '1' : `"${'x'.repeat(dataLength)}"`
  const type = isEscaped ? '"type":"\\u0074",' : ''
  const subject = (at: number) => (subjects === undefined ? type : `${type}"subject":"s${at % subjects}",`)
  const first = (request: number) =>
    `${open}{"id":"${prefix}${String(request).padStart(DIGITS, '0')}",${subject(request)}"data":${data}}`
  const rest = Array.from({ length: batch - 1 }, (_, at) => `${joint}{${subject(at)}"data":${data}}`).join('')
  const tail = Buffer.from(rest + close)
  const authorization = key === undefined ? '' : `authorization: Bearer ${key}\r\n`
  const head = `POST /v1/events HTTP/1.1\r\nhost: localhost\r\n${authorization}content-type: ${contentType}\r\ncontent-length: `
  return (request) => {
    const start = first(request)
    return [`${head}${start.length + tail.length}\r\n\r\n${start}`, tail]
  }
}

async function run(phase: Phase, next: () => number): Promise<Float64Array> {
  const { url, seconds, connections: count, requestsPerSecond: rate } = phase
  const requestOf = requestsOf(phase)
  const connections = openConnections(url, count)
  await Promise.all(connections.map((one) => new Promise<void>((resolve) => one.send([PROBE], () => resolve()))))
  const idle = [...connections]
  const values: number[] = []
  const startedAt = performance.now()
  const elapsed = () => performance.now() - startedAt
  let due = 0
  let unanswered = 0
  const send = () => {
    const isOpen = rate !== undefined
    while (elapsed() < seconds * 1000) {
      const dueMs = isOpen ? (due / rate) * 1000 : elapsed()
      if (isOpen && dueMs > elapsed()) return
      const connection = idle.shift()
      if (connection === undefined) return
      due += 1
      unanswered += 1
      const request = next()
      connection.send(requestOf(request), (status) => {
        idle.push(connection)
        unanswered -= 1
        values.push(request, dueMs, elapsed() - dueMs, status)
        send()
      })
    }
  }
  const timer = setInterval(send, TICK_MS)
  send()
  await sleep(seconds * 1000)
  clearInterval(timer)
  while (unanswered > 0 && elapsed() < seconds * 1000 + LAST_ANSWER_MS) await sleep(TICK_MS)
  for (const connection of connections) connection.close()
  return Float64Array.from(values)
}

if (process.argv[1] === import.meta.filename) {
  let requests = 0
  process.on('message', (phase: Phase) => {
    run(phase, () => requests++).then((values) => process.send?.(values))
  })
  process.on('disconnect', () => process.exit())
}
