/** The real service on a disk that fills up, and on one that the kernel makes read-only. */
import { rmSync, statfsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { missingDisk, mountExt4, mountTmpfs } from '../support/disk.ts'
import { startEndpoint } from '../support/endpoint.ts'
import { type Load, startLoad } from '../support/load.ts'
import { caughtUp, deliveredIn, expectConserved, post, scrape, startService, until } from '../support/service.ts'
import { temporaryDirectory } from '../support/temporary.ts'

const DISK_BYTES = 16 * 2 ** 20
const skipped = (missing: string | undefined) => (missing ? ` (skipped: ${missing})` : '')

/** Takes all that is free, but for `spare` bytes. */
function fill(directory: string, spare = 0): string {
  const { bavail, bsize } = statfsSync(directory)
  const ballast = join(directory, 'ballast')
  try {
    writeFileSync(ballast, Buffer.alloc(Math.max(0, bavail * bsize - spare)))
  } catch {} // the service took some of it meanwhile: then it is full
  return ballast
}

function expectAllDelivered(directory: string, loads: readonly Load[]): number {
  const ids = new Set(deliveredIn(directory).map(({ id }) => id))
  for (const load of loads) expect([...load.acknowledged].filter((id) => !ids.has(id))).toEqual([])
  return ids.size
}

const noTmpfs = missingDisk('tmpfs')
describe.skipIf(noTmpfs !== undefined)(`a full disk${skipped(noTmpfs)}`, () => {
  /** The log on the small disk, what is delivered beside it. */
  const placed = (disk: string, delivered: string) => ({
    DATA_DIR: join(disk, 'data'),
    FILE_SINK_DIR: delivered,
    LOG_RETENTION_MS: '0',
  })

  test('503 and nothing half-kept while it is full, metrics and health stay up, and it goes on by itself', async () => {
    const [disk, delivered] = [mountTmpfs(DISK_BYTES), temporaryDirectory()]
    const service = await startService(temporaryDirectory(), placed(disk, delivered))
    const load = startLoad(service.url, { connections: 8, batch: 20, dataLength: 200, pauseMs: 5 })
    for (let time = 0; time < 3; time++) {
      await sleep(300)
      const ballast = fill(disk, 100_000)
      const refusedBefore = load.statuses.get(503) ?? 0
      await until(() => (load.statuses.get(503) ?? 0) > refusedBefore + 20, 20_000, 'writes are refused')
      // Segments that are delivered meanwhile make room for another one.
      let refused = await post(service, { data: 'x'.repeat(200_000) })
      for (const endMs = performance.now() + 20_000; refused.status === 202 && performance.now() < endMs; ) {
        refused = await post(service, { data: 'x'.repeat(200_000) })
      }
      expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '1'])
      expect(await refused.json()).toMatchObject({ type: 'urn:millrace:problem:disk-full' })
      expect((await fetch(`${service.url}/health/live`)).status).toBe(200)
      expect((await scrape(service)).get('millrace_events_rejected_total{reason="disk_full"}')).toBeGreaterThan(0)
      rmSync(ballast)
      const takenBefore = load.acknowledged.size
      await until(() => load.acknowledged.size > takenBefore + 1000, 10_000, 'writes are taken again')
    }
    await load.stop()
    await caughtUp(service, ['file'])
    await expectConserved(service, ['file'])
    expect(await service.stop()).toBe(0)
    const arrived = expectAllDelivered(delivered, [load])
    const answers = [...load.statuses].map(([status, count]) => `${count} × ${status}`)
    console.error(
      `  full 3 times: ${load.acknowledged.size} acknowledged, ${arrived} arrived; answers ${answers.join(', ')}`,
    )
  }, 120_000)

  test('killed and started again on the full disk: it is there, refuses, and takes events when there is room', async () => {
    const [disk, delivered] = [mountTmpfs(DISK_BYTES), temporaryDirectory()]
    const first = await startService(temporaryDirectory(), placed(disk, delivered))
    const before = startLoad(first.url, { connections: 8, batch: 20, dataLength: 200, pauseMs: 5, prefix: 'a' })
    await sleep(300)
    const ballast = fill(disk)
    await until(() => (before.statuses.get(503) ?? 0) > 0, 20_000, 'writes are refused')
    await first.stop('SIGKILL')
    await before.stop()

    const second = await startService(temporaryDirectory(), placed(disk, delivered))
    const after = startLoad(second.url, { connections: 8, batch: 20, dataLength: 200, pauseMs: 5, prefix: 'b' })
    await sleep(500)
    expect((await fetch(`${second.url}/health/live`)).status).toBe(200)
    rmSync(ballast)
    await until(() => after.acknowledged.size > 1000, 10_000, 'writes are taken')
    await after.stop()
    await caughtUp(second, ['file'])
    await expectConserved(second, ['file'])
    expect(await second.stop()).toBe(0)
    expectAllDelivered(delivered, [before, after])
  }, 120_000)

  test.each([
    ['small segments', { LOG_SEGMENT_BYTES: '1000000' }],
    ['one segment, and a retention that would keep it', { LOG_RETENTION_MS: '3600000' }],
  ])(
    'a disk that the log itself has filled, with %s: room comes back as sinks go on, without anybody',
    async (_, more) => {
      const disk = mountTmpfs(DISK_BYTES)
      const endpoint = await startEndpoint(() => 503)
      const service = await startService(temporaryDirectory(), {
        ...placed(disk, 'unused'),
        SINKS: 'http',
        HTTP_SINK_URL: endpoint.url,
        RETRY_MAX_MS: '200',
        ...more,
      })
      const bulk = startLoad(service.url, { connections: 4, batch: 50, dataLength: 500, prefix: 'a' })
      await until(() => (bulk.statuses.get(503) ?? 0) > 20, 20_000, 'no large write is taken')
      await bulk.stop()
      const single = startLoad(service.url, { connections: 4, batch: 1, prefix: 'b' })
      await until(() => (single.statuses.get(503) ?? 0) > 200, 20_000, 'no small write is taken either')
      endpoint.answer = () => 200
      const taken = single.acknowledged.size
      await until(() => single.acknowledged.size > taken + 1000, 30_000, 'writes are taken again')
      await single.stop()
      await caughtUp(service, ['http'])
      await expectConserved(service, ['http'])
      expect(await service.stop()).toBe(0)
      const ids = new Set(endpoint.received.map(({ id }) => id))
      for (const load of [bulk, single]) expect([...load.acknowledged].filter((id) => !ids.has(id))).toEqual([])
    },
    120_000,
  )

  test('the file sink on a full disk waits, the log goes on, and everything arrives when there is room', async () => {
    const disk = mountTmpfs(DISK_BYTES)
    const [directory, delivered] = [temporaryDirectory(), join(disk, 'delivered')]
    const service = await startService(directory, { FILE_SINK_DIR: delivered, RETRY_MAX_MS: '200' })
    const load = startLoad(service.url, { connections: 8, batch: 20, dataLength: 200, pauseMs: 20 })
    await sleep(200)
    const ballast = fill(disk, 50_000)
    const failing = async () => (await scrape(service)).get('millrace_sink_failing{sink="file"}') === 1
    await until(failing, 20_000, 'the sink fails')
    const taken = load.acknowledged.size
    await until(() => load.acknowledged.size > taken + 1000, 10_000, 'the log still takes events')
    await load.stop()
    rmSync(ballast)
    await caughtUp(service, ['file'])
    await expectConserved(service, ['file'])
    expect(await service.stop()).toBe(0)
    expectAllDelivered(delivered, [load])
  }, 120_000)
})

const noExt4 = missingDisk('ext4')
test.skipIf(noExt4 !== undefined)(
  `a disk that turns read-only: what was pending is not acknowledged, the process ends, and after the repair all is there${skipped(noExt4)}`,
  async () => {
    const disk = mountExt4(64 * 2 ** 20)
    const delivered = temporaryDirectory()
    const environment = { DATA_DIR: join(disk.directory, 'data'), FILE_SINK_DIR: delivered }
    const loads: Load[] = []
    for (let time = 0; time < 3; time++) {
      const service = await startService(temporaryDirectory(), environment)
      const load = startLoad(service.url, {
        connections: 8,
        batch: 20,
        dataLength: 200,
        pauseMs: 5,
        prefix: `${time}-`,
      })
      loads.push(load)
      await until(() => load.acknowledged.size > 2000, 20_000, 'events are taken')
      disk.makeReadOnly()
      const ended = await Promise.race([service.stop('SIGCONT'), sleep(20_000).then(() => 'still running')])
      expect(ended, service.output()).toBe(1)
      expect(service.output()).toMatch(/the log takes no more writes; check the disk, then restart/)
      await load.stop()
      disk.repair()
    }
    const service = await startService(temporaryDirectory(), environment)
    await caughtUp(service, ['file'])
    await expectConserved(service, ['file'])
    expect(await service.stop()).toBe(0)
    const arrived = expectAllDelivered(delivered, loads)
    const acknowledged = loads.reduce((sum, load) => sum + load.acknowledged.size, 0)
    console.error(`  read-only 3 times: ${acknowledged} acknowledged, ${arrived} arrived`)
  },
  120_000,
)
