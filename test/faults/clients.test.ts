/** Clients that hold what they can: connections, half-sent headers, half-sent bodies, file descriptors. */
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, onTestFinished, test } from 'vitest'
import { startLoad } from '../support/load.ts'
import { caughtUp, deliveredIn, expectConserved, post, type Service, scrape, startService } from '../support/service.ts'
import { temporaryDirectory } from '../support/temporary.ts'

const MIB = 2 ** 20
const IDLE_CONNECTIONS = 10_000

interface Held {
  readonly sockets: readonly Socket[]
  /** Those that the service has ended, or never took. */
  closed: number
}

/** Connections of one client, opened a few hundred at a time; `onOpen` says what it sends on each. */
async function hold(service: Service, count: number, onOpen: (socket: Socket) => void = () => undefined) {
  const { hostname, port } = new URL(service.url)
  const sockets: Socket[] = []
  const held: Held = { sockets, closed: 0 }
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy()
  })
  while (sockets.length < count) {
    const more = Array.from({ length: Math.min(250, count - sockets.length) }, () => {
      const socket = connect(Number(port), hostname)
      socket.on('error', () => undefined).on('close', () => (held.closed += 1))
      return socket.resume()
    })
    await Promise.all(more.map((socket) => Promise.race([once(socket, 'connect'), once(socket, 'close')])))
    for (const socket of more) onOpen(socket)
    sockets.push(...more)
  }
  return held
}

const peakBytes = async (service: Service) => (await scrape(service)).get('process_resident_memory_bytes') ?? 0

/** Load of a client that means well, for so long: all of it is accepted. @returns the slowest answer, milliseconds. */
async function expectServed(
  service: Service,
  forMs: number,
  prefix: string,
): Promise<{ slowestMs: number; events: number }> {
  const load = startLoad(service.url, { connections: 8, batch: 1, pauseMs: 5, prefix })
  await sleep(forMs)
  await load.stop()
  expect([...load.statuses.keys()]).toEqual([202])
  return { slowestMs: load.slowestMs, events: load.acknowledged.size }
}

const openFiles = Number(/Max open files\s+\d+\s+(\d+)/.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1])
const tooFew = openFiles < IDLE_CONNECTIONS + 1000 ? ` (skipped: ${openFiles} open files are allowed here)` : ''

test.skipIf(tooFew !== '')(
  `10,000 idle connections: others are served as before, within 200 MB${tooFew}`,
  async () => {
    const service = await startService(temporaryDirectory())
    const before = await expectServed(service, 2000, 'a')
    const held = await hold(service, IDLE_CONNECTIONS)
    const during = await expectServed(service, 2000, 'b')
    expect(held.closed).toBe(0)
    const bytes = await peakBytes(service)
    expect(bytes).toBeLessThan(200 * MIB)
    expect(during.events).toBeGreaterThan(before.events / 2)
    await caughtUp(service, ['file'])
    expect(await service.stop()).toBe(0)
    console.error(
      `  ${IDLE_CONNECTIONS} idle connections: ${Math.round(bytes / MIB)} MiB; ${before.events} events before, ${during.events} with them, slowest ${Math.round(during.slowestMs)} ms`,
    )
  },
  120_000,
)

test('2,000 slow clients and 500 half-open ones: others are served, and each is cut off in time', async () => {
  const service = await startService(temporaryDirectory())
  const head = 'POST /v1/events HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n'
  const slowHeaders = await hold(service, 1000, (socket) => socket.write(head))
  const slowBodies = await hold(service, 1000, (socket) => socket.write(`${head}content-length: 1000\r\n\r\n{"data":"`))
  const silent = await hold(service, 500, (socket) => socket.write('POST /v1/ev'))
  const drip = setInterval(() => {
    for (const socket of slowHeaders.sockets) if (!socket.destroyed) socket.write('x: 1\r\n')
    for (const socket of slowBodies.sockets) if (!socket.destroyed) socket.write('.')
  }, 5000)
  onTestFinished(() => clearInterval(drip))
  const startedAt = performance.now()
  let slowestMs = 0
  let events = 0
  const all = [slowHeaders, slowBodies, silent]
  for (let round = 0; all.some(({ sockets, closed }) => closed < sockets.length); round++) {
    const served = await expectServed(service, 2000, `r${round}-`)
    slowestMs = Math.max(slowestMs, served.slowestMs)
    events += served.events
    expect(performance.now() - startedAt, 'the last one is still there').toBeLessThan(120_000)
  }
  const afterMs = performance.now() - startedAt
  await caughtUp(service, ['file'])
  await expectConserved(service, ['file'])
  expect(await service.stop()).toBe(0)
  console.error(
    `  2,500 slow or half-open clients, all cut off after ${Math.round(afterMs / 1000)} s; meanwhile ${events} events, slowest ${Math.round(slowestMs)} ms`,
  )
}, 180_000)

test('large bodies that do not come: those who announced them give way to those who send', async () => {
  const service = await startService(temporaryDirectory(), { IN_PROGRESS_MAX_BYTES: String(16 * MIB) })
  const head = `POST /v1/events HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: ${MIB}\r\n\r\n{`
  const held = await hold(service, 16, (socket) => socket.write(head))
  await sleep(100)
  const statuses = new Map<number, number>()
  const startedAt = performance.now()
  let status = 0
  while (status !== 202 && performance.now() - startedAt < 30_000) {
    status = (await post(service, { data: 1 })).status
    statuses.set(status, (statuses.get(status) ?? 0) + 1)
    await sleep(50)
  }
  const takenAfterMs = performance.now() - startedAt
  expect([...statuses.keys()]).toEqual([503, 202])
  expect(takenAfterMs).toBeLessThan(10_000)
  expect(held.closed).toBeGreaterThan(0)
  await expectServed(service, 1000, 'a')
  expect(await service.stop()).toBe(0)
  console.error(`  16 MiB announced and not sent: others are taken again after ${Math.round(takenAfterMs)} ms`)
})

test('more connections than files may be open: what is too much is closed, and the log goes on', async () => {
  const directory = temporaryDirectory()
  const service = await startService(directory, { LOG_SEGMENT_BYTES: '65536' }, { under: ['prlimit', '--nofile=256'] })
  const load = startLoad(service.url, { connections: 4, batch: 10, pauseMs: 2, prefix: 'a' })
  await sleep(200)
  for (let wave = 0; wave < 5; wave++) {
    const held = await hold(service, 400)
    await sleep(500)
    expect(held.closed).toBeGreaterThan(100)
    for (const socket of held.sockets) socket.destroy()
  }
  await load.stop()
  expect([...load.statuses.keys()]).toEqual([202])
  const segments = readdirSync(join(directory, 'data/log')).filter((name) => name.endsWith('.seg')).length
  expect(segments).toBeGreaterThan(5)
  await caughtUp(service, ['file'])
  await expectConserved(service, ['file'])
  expect(await service.stop()).toBe(0)
  const ids = new Set(deliveredIn(join(directory, 'data/delivered')).map(({ id }) => id))
  expect([...load.acknowledged].filter((id) => !ids.has(id))).toEqual([])
  console.error(
    `  5 × 400 connections with 256 files: ${load.acknowledged.size} acknowledged, ${segments} segments, 0 lost`,
  )
})
