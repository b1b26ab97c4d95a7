import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import { afterEach, expect, test } from 'vitest'
import { JSON_TYPE } from '../../bench/support/load.ts'
import { type OpenLoop, runOpenLoop } from '../../bench/support/open-loop.ts'

const STALL_MS = 500
const BODY = '{"accepted":1}'
const servers: Server[] = []
afterEach(() => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections()
    server.close()
  }
})

/** Answers at once, but for `stalledFromMs` after the first request: then everything waits until the stall is over. */
async function serve(stalledFromMs: number, status = 202): Promise<{ url: string; requests: () => number }> {
  let requests = 0
  let firstAtMs: number | undefined
  const server = createServer((request, response) => {
    request.resume()
    requests += 1
    firstAtMs ??= performance.now()
    const sinceMs = performance.now() - firstAtMs
    const stalled = sinceMs >= stalledFromMs && sinceMs < stalledFromMs + STALL_MS
    setTimeout(
      () => response.writeHead(status, { 'content-length': BODY.length }).end(BODY),
      stalled ? stalledFromMs + STALL_MS - sinceMs : 0,
    )
  }).listen(0, '127.0.0.1')
  servers.push(server)
  await once(server, 'listening')
  const address = server.address()
  return { url: `http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}`, requests: () => requests }
}

const loop = (url: string, options: Partial<OpenLoop> = {}): OpenLoop => ({
  url,
  payload: { body: '{"data":1}', contentType: JSON_TYPE, events: 1 },
  requestsPerSecond: 200,
  seconds: 2,
  warmUpSeconds: 0,
  connections: 4,
  ...options,
})

test('a stall of the server is in the latency of every request that was due meanwhile, sent or not', async () => {
  const { url, requests } = await serve(800)
  const { p50Ms, p99Ms, maxMs, notAccepted } = await runOpenLoop(loop(url))
  // 100 of 400 were due during the stall; with 4 connections a closed loop would have sent, and counted, 4 of them.
  expect(requests()).toBe(400)
  expect(notAccepted).toBe(0)
  expect(maxMs).toBeGreaterThan(0.9 * STALL_MS)
  expect(p99Ms).toBeGreaterThan(0.9 * STALL_MS)
  // Those due later wait for less: half of the run was not stalled at all. On a busy machine they wait, too, but less.
  expect(p50Ms).toBeLessThan(0.8 * p99Ms)
})

test('the rate is kept, and what is sent during the warm-up is not counted', async () => {
  const { url, requests } = await serve(0)
  const { maxMs, acceptedPerSecond } = await runOpenLoop(loop(url, { warmUpSeconds: 1, seconds: 1 }))
  expect(requests()).toBe(400)
  expect(acceptedPerSecond).toBeGreaterThan(150)
  expect(acceptedPerSecond).toBeLessThan(250)
  expect(maxMs).toBeLessThan(STALL_MS)
})

test('a refused request counts as one that has waited until the end', async () => {
  const { url } = await serve(Number.POSITIVE_INFINITY, 503)
  const { notAccepted, acceptedPerSecond, p50Ms } = await runOpenLoop(loop(url))
  expect(notAccepted).toBe(400)
  expect(acceptedPerSecond).toBe(0)
  // Those that were due first have waited for 2 seconds.
  expect(p50Ms).toBeGreaterThan(800)
})

test('an answer that is neither 202 nor 503 is no measurement', async () => {
  const { url } = await serve(Number.POSITIVE_INFINITY, 500)
  await expect(runOpenLoop(loop(url))).rejects.toThrow('answered 500')
})
