/**
 * Load at a fixed rate, whatever the server does. Each request has a time at which it is due, set before the run; its
 * latency is counted from then. When the server stalls, requests that are due meanwhile wait here for a connection and
 * the wait is in their latency. A loop that sends the next request when the last one is answered would leave them
 * out: it omits what hurts, in step with the server.
 *
 *     due ──▶ waiting for a connection ──▶ sent ──▶ answered
 *     └───────────────── latency ──────────────────────┘
 */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import type { Connection } from './connection.ts'
import { openConnections, type Payload, requestOf } from './load.ts'
import { type Beat, clockMs } from './metronome.ts'
import { quantile } from './statistics.ts'

export interface OpenLoop {
  readonly url: string
  readonly payload: Payload
  readonly requestsPerSecond: number
  readonly seconds: number
  /** Of the schedule, at its start: sent and not counted. */
  readonly warmUpSeconds: number
  readonly connections: number
}

export interface Latencies {
  readonly p50Ms: number
  readonly p99Ms: number
  readonly p999Ms: number
  readonly maxMs: number
  /** Requests that were accepted each second, from the first that counts to the last answer. */
  readonly acceptedPerSecond: number
  /** Refused with 503, or not answered when the run was given up: their latency is at least what is counted. */
  readonly notAccepted: number
  /** How late requests were sent that found a connection free: what the generator itself adds. */
  readonly ownP99Ms: number
}

/** Between the last request that is due and giving up. */
const GIVE_UP_MS = 10_000
/** Before the first request: the thread has to start. */
const LEAD_MS = 100

/** In a process of its own, so that nothing else of the harness delays it. */
export async function openLoop(options: OpenLoop): Promise<Latencies> {
  const child = fork(import.meta.filename, { serialization: 'advanced', execArgv: [] })
  child.send(options)
  const exited = once(child, 'exit').then(([code]) => {
    throw new Error(`the load generator ended with ${code}`)
  })
  const [message] = (await Promise.race([once(child, 'message'), exited])) as [Latencies | { error: string }]
  exited.catch(() => undefined)
  child.disconnect()
  if ('error' in message) throw new Error(message.error)
  return message
}

export async function runOpenLoop(options: OpenLoop): Promise<Latencies> {
  const { url, payload, requestsPerSecond, seconds, warmUpSeconds } = options
  const intervalMs = 1000 / requestsPerSecond
  const count = Math.round((seconds + warmUpSeconds) * requestsPerSecond)
  const skipped = Math.round(warmUpSeconds * requestsPerSecond)
  const request = requestOf(payload)
  const connections = openConnections(url, options.connections)
  const free: Connection[] = [...connections]
  const latencies = new Float64Array(count)
  const ownDelays: number[] = []
  const startAtMs = clockMs() + LEAD_MS
  const dueAtMs = (at: number) => startAtMs + at * intervalMs

  let next = 0
  let answered = 0
  let accepted = 0
  let lastAnswerMs = startAtMs
  const metronome = new Worker(new URL('./metronome.ts', import.meta.url), {
    workerData: { startAtMs, intervalMs, count } satisfies Beat,
  })
  try {
    await new Promise<void>((resolve, reject) => {
      /** @param onTime whether connections were free when it fell due. */
      const sendDue = (onTime: boolean) => {
        const nowMs = clockMs()
        while (next < count && dueAtMs(next) <= nowMs) {
          const connection = free.pop()
          if (connection === undefined) return
          const at = next++
          if (onTime && at >= skipped) ownDelays.push(nowMs - dueAtMs(at))
          connection.send([request], (status, body) => {
            if (status !== 202 && status !== 503) return reject(new Error(`answered ${status}: ${body}`))
            answered += 1
            lastAnswerMs = clockMs()
            if (status === 202) {
              latencies[at] = lastAnswerMs - dueAtMs(at)
              if (at >= skipped) accepted += 1
            }
            free.push(connection)
            if (answered === count) resolve()
            else sendDue(false)
          })
        }
      }
      metronome.on('message', () => sendDue(free.length > 0))
      metronome.on('error', reject)
      setTimeout(resolve, LEAD_MS + count * intervalMs + GIVE_UP_MS).unref()
    })
  } finally {
    await metronome.terminate()
    for (const connection of connections) connection.close()
  }
  const nowMs = clockMs()
  // 0 is no latency: what was not accepted has waited until now, at least.
  const counted = latencies
    .map((latency, at) => latency || nowMs - dueAtMs(at))
    .subarray(skipped)
    .sort()
  return {
    p50Ms: quantile(counted, 0.5),
    p99Ms: quantile(counted, 0.99),
    p999Ms: quantile(counted, 0.999),
    maxMs: quantile(counted, 1),
    acceptedPerSecond: (1000 * accepted) / (lastAnswerMs - dueAtMs(skipped)),
    notAccepted: count - skipped - accepted,
    ownP99Ms: quantile(Float64Array.from(ownDelays).sort(), 0.99),
  }
}

if (process.argv[1] === import.meta.filename) {
  process.once('message', (options: OpenLoop) => {
    runOpenLoop(options).then(
      (latencies) => process.send?.(latencies),
      (error: Error) => process.send?.({ error: error.message }),
    )
  })
}
