/** Clocks that jump, by hours, back and forth: what the service promises does not depend on the time of day. */
import { renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { startEndpoint } from '../support/endpoint.ts'
import { startLoad } from '../support/load.ts'
import { caughtUp, deliveredIn, expectConserved, post, type Service, startService, until } from '../support/service.ts'
import { temporaryDirectory } from '../support/temporary.ts'

const HOUR_MS = 3_600_000
const CLOCK = fileURLToPath(new URL('../support/clock.ts', import.meta.url))
const JUMPS_HOURS = [6, -6, 48, 0, -24 * 365 * 20, 24 * 365 * 20, 0]

async function startWithClock(directory: string, environment: Record<string, string>) {
  const file = join(directory, 'clock')
  const set = (hours: number) => {
    writeFileSync(`${file}.new`, String(hours * HOUR_MS))
    renameSync(`${file}.new`, file)
  }
  set(0)
  const service = await startService(directory, { ...environment, CLOCK_FILE: file, NODE_OPTIONS: `--import ${CLOCK}` })
  return { service, set }
}

const accepted = async (service: Service, body: unknown) => (await post(service, body)).json() as Promise<object>

test('a clock that jumps back and forth: nothing is lost, stalled, deleted too early or stored twice', async () => {
  const directory = temporaryDirectory()
  const endpoint = await startEndpoint()
  let refusals = 0
  endpoint.answer = () => (refusals++ % 50 === 0 ? 503 : 200) // so that there is always something to wait for
  const { service, set } = await startWithClock(directory, {
    SINKS: 'file,http',
    HTTP_SINK_URL: endpoint.url,
    RETRY_MAX_MS: '200',
    LOG_SEGMENT_BYTES: '65536',
    LOG_RETENTION_MS: '1000',
    DEDUPLICATION_WINDOW_EVENTS: '100000',
    QUOTA_EVENTS_PER_SECOND: '100000',
    FILE_SINK_ROLL_MS: '1000',
  })
  const load = startLoad(service.url, { connections: 4, batch: 10, pauseMs: 10 })
  const first = { id: 'once', source: '/clock', data: 1 }
  expect(await accepted(service, first)).toEqual({ accepted: 1 })
  for (const hours of JUMPS_HOURS) {
    set(hours)
    const [taken, arrived] = [load.acknowledged.size, endpoint.received.length]
    await sleep(300)
    await until(() => load.acknowledged.size > taken + 50, 10_000, `events are taken at ${hours} h`)
    await until(() => endpoint.received.length > arrived + 50, 10_000, `events arrive at ${hours} h`)
    expect(await accepted(service, first)).toEqual({ accepted: 1, duplicates: 1 })
  }
  await load.stop()
  expect([...load.statuses.keys()]).toEqual([202])
  await caughtUp(service, ['file', 'http'])
  await expectConserved(service, ['file', 'http'])
  expect(await service.stop(), service.output()).toBe(0)
  for (const events of [endpoint.received, deliveredIn(join(directory, 'data/delivered'))]) {
    const ids = new Set(events.map(({ id }) => id))
    expect([...load.acknowledged].filter((id) => !ids.has(id))).toEqual([])
    expect(events.filter(({ id }) => id === 'once').length).toBe(1)
  }
  console.error(`  ${JUMPS_HOURS.length} jumps of up to 20 years: ${load.acknowledged.size} acknowledged, 0 lost`)
}, 120_000)

test.each([-6, 6])(
  'a jump of %i h during a shutdown: it takes as long as it may, and no longer',
  async (hours) => {
    const directory = temporaryDirectory()
    const endpoint = await startEndpoint()
    const { service, set } = await startWithClock(directory, {
      SINKS: 'http',
      HTTP_SINK_URL: endpoint.url,
      HANDLERS: 'sample', // 200 ms for each event
      HANDLER_CONCURRENCY: '1',
      SHUTDOWN_DRAIN_MS: '2000',
    })
    await post(
      service,
      Array.from({ length: 1000 }, (_, id) => ({ id, data: 1 })),
    )
    const stopped = service.stop()
    await sleep(500)
    const before = endpoint.received.length
    set(hours)
    const startedAt = performance.now()
    expect(await stopped).toBe(1) // more was begun than the drain had time for
    const tookMs = performance.now() - startedAt
    expect(tookMs).toBeGreaterThan(900)
    expect(tookMs).toBeLessThan(6000)
    expect(endpoint.received.length).toBeGreaterThan(before)
  },
  60_000,
)
