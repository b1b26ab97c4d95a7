import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { expectExactly, hardData, MAX_BODY_BYTES, sendExactly } from '../../support/exact.ts'
import { type Load, rate, sendEvents, startLoad } from '../../support/load.ts'
import { askDuckDb, eventsIn, type LocalS3, linesIn, missingDuckDb, missingS3, startS3 } from '../../support/s3.ts'
import { caughtUp, post, type Service, sinkSample, startService, until } from '../../support/service.ts'
import { temporaryDirectory } from '../../support/temporary.ts'

const missing = missingS3()
const withoutDuckDb = missing ?? missingDuckDb()

const KEY = /^events\/type=[^/]+\/dt=\d{4}-\d{2}-\d{2}\/hh=\d{2}\/s3\.[\da-f-]+-(\d+)-(\d+)\.ndjson\.gz$/
const QUICK = { S3_SINK_ROLL_MS: '300', S3_SINK_TIMEOUT_MS: '1000', RETRY_BASE_MS: '20', RETRY_MAX_MS: '200' }

describe.skipIf(missing !== undefined)(`the s3 sink${missing ? ` (skipped: ${missing})` : ''}`, () => {
  let s3: LocalS3
  let prefix = 0
  beforeAll(async () => {
    s3 = await startS3()
  })
  afterAll(async () => s3?.stop())

  /** Every test has its own part of the bucket. */
  function places() {
    const S3_SINK_PREFIX = `${prefix++}/events/`
    const here: LocalS3 = {
      ...s3,
      list: async (below = '') => {
        const own = S3_SINK_PREFIX.replace('events/', '')
        return (await s3.list(own + below)).map((object) => ({ ...object, key: object.key.slice(own.length) }))
      },
      read: (key) => s3.read(S3_SINK_PREFIX.replace('events/', '') + key),
      head: (key) => s3.head(S3_SINK_PREFIX.replace('events/', '') + key),
    }
    return { here, environment: { ...s3.environment, ...QUICK, S3_SINK_PREFIX } }
  }

  const sample = (service: Service, metric: string) => sinkSample(service, 's3', metric)
  const delivered = (service: Service) => caughtUp(service, ['s3'], 30_000)

  /** Each id once, all that were acknowledged, and none that was not sent. */
  async function expectOnce(here: LocalS3, load: Load): Promise<void> {
    const objects = await here.list('events/type=')
    for (const { key } of objects) expect(key).toMatch(KEY)
    const ids = (await eventsIn(here)).map(({ id }) => id)
    const unique = new Set(ids)
    expect(ids.length).toBe(unique.size)
    expect([...load.acknowledged].filter((id) => !unique.has(id))).toEqual([])
    expect([...unique].filter((id) => !load.sent.has(id))).toEqual([])
    expect(objects.reduce((sum, { key }) => sum + Number(KEY.exec(key)?.[2]), 0)).toBe(ids.length)
    console.error(
      `  ${load.acknowledged.size} acknowledged, ${ids.length} events with ${unique.size} ids in ${objects.length} objects`,
    )
  }

  test('what is in the objects is what was received, byte for byte', async () => {
    for (const S3_SINK_COMPRESSION of ['gzip', 'zstd']) {
      const { here, environment } = places()
      const limits = { S3_SINK_COMPRESSION, MAX_BODY_BYTES: String(MAX_BODY_BYTES) }
      const service = await startService(temporaryDirectory(), { ...environment, ...limits })
      const data = hardData()
      await sendExactly(service.url, data)
      await delivered(service)
      expectExactly(await linesIn(here), data)
      expect(await service.stop()).toBe(0)
    }
  })

  test('an object holds the events of one type and hour, complete, under the first offset and their number', async () => {
    const { here, environment } = places()
    const service = await startService(temporaryDirectory(), environment)
    await post(service, [
      { id: 'a', type: 'order.created', data: 1 },
      { id: 'b', type: 'order/ö *', data: 2 },
      { id: 'c', type: 'order.created', data: { deep: ['ü', null] } },
      { data: 4 },
    ])
    expect(await sample(service, 'events_delivered_total')).toBe(0)
    await delivered(service)
    const keys = (await here.list('events/type=')).map(({ key }) => key)
    for (const key of keys) expect(key).toMatch(KEY)
    const today = new Date().toISOString().slice(0, 10)
    expect(keys.map((key) => key.replace(/\/hh=.*-(\d+-\d+)\.ndjson\.gz/, ' $1'))).toEqual([
      `events/type=event/dt=${today} 3-1`,
      `events/type=order%2F%C3%B6%20*/dt=${today} 1-1`,
      `events/type=order.created/dt=${today} 0-2`,
    ])
    expect(await eventsIn(here, 'events/type=order.created')).toMatchObject([
      { specversion: '1.0', id: 'a', source: 'millrace', data: 1 },
      { specversion: '1.0', id: 'c', type: 'order.created', data: { deep: ['ü', null] } },
    ])
    expect(await service.stop()).toBe(0)
  })

  test('a stop writes what is gathered, and waits for nothing', async () => {
    const { here, environment } = places()
    const service = await startService(temporaryDirectory(), { ...environment, S3_SINK_ROLL_MS: '600000' })
    await post(service, [{ id: 'a', data: 1 }])
    await until(async () => (await sample(service, 'delivery_attempts_total')) !== 0, 5000, 'it is gathered')
    const stoppedAt = performance.now()
    expect(await service.stop()).toBe(0)
    expect(performance.now() - stoppedAt).toBeLessThan(8000)
    expect(await eventsIn(here)).toMatchObject([{ id: 'a' }])
  })

  test('killed again and again in the middle of objects: nothing is lost, and a repeat is the same object', async () => {
    const { here, environment } = places()
    const directory = temporaryDirectory()
    const quick = { ...environment, S3_SINK_ROLL_EVENTS: '3000' }
    const sent = new Set<string>()
    const acknowledged = new Set<string>()
    for (let round = 0; round < 6; round++) {
      const service = await startService(directory, quick)
      const load = startLoad(service.url, { connections: 4, batch: 50, dataLength: 100, prefix: `r${round}-` })
      await new Promise((resolve) => setTimeout(resolve, 700 + 260 * round))
      await service.stop('SIGKILL')
      await load.stop()
      for (const id of load.sent) sent.add(id)
      for (const id of load.acknowledged) acknowledged.add(id)
    }
    const last = await startService(directory, quick)
    await delivered(last)
    expect(await last.stop()).toBe(0)
    await expectOnce(here, { sent, acknowledged } as Load)
  })

  test('a store that cannot be reached, and one that hangs: the sink fails, goes on by itself, and nothing is lost', async () => {
    const { here, environment } = places()
    const service = await startService(temporaryDirectory(), environment)
    const load = startLoad(service.url, { connections: 4, batch: 50, dataLength: 100, pauseMs: 5 })
    const failing = (value: number) =>
      until(async () => (await sample(service, 'sink_failing')) === value, 20_000, `sink_failing is ${value}`)
    for (const [spoil, mend] of [
      [s3.cut, s3.join],
      [s3.pause, s3.resume],
      [s3.cut, s3.join],
    ] as const) {
      await new Promise((resolve) => setTimeout(resolve, 700))
      spoil()
      await failing(1)
      mend()
      await failing(0)
    }
    await load.stop()
    await delivered(service)
    expect(service.output()).toMatch(/sink s3 fails, its events wait in the log: cannot write to bucket events-test/)
    expect(service.output()).toMatch(/sink s3 works again/)
    expect(await service.stop()).toBe(0)
    await expectOnce(here, load)
  })

  test('killed while the store is away', async () => {
    const { here, environment } = places()
    const directory = temporaryDirectory()
    const first = await startService(directory, environment)
    const load = startLoad(first.url, { connections: 4, batch: 50, pauseMs: 2 })
    await new Promise((resolve) => setTimeout(resolve, 800))
    s3.cut()
    await new Promise((resolve) => setTimeout(resolve, 800))
    await first.stop('SIGKILL')
    await load.stop()
    const second = await startService(directory, environment)
    await until(async () => (await sample(second, 'sink_failing')) === 1, 10_000, 'the sink fails')
    s3.join()
    await delivered(second)
    expect(await second.stop()).toBe(0)
    await expectOnce(here, load)
  })

  test('a bucket there is not: said by its name, and events wait for it', async () => {
    const { environment } = places()
    const service = await startService(temporaryDirectory(), { ...environment, S3_SINK_BUCKET: 'not-there' })
    await post(service, [{ id: 'a', data: 1 }])
    await until(async () => (await sample(service, 'sink_failing')) === 1, 10_000, 'the sink fails')
    expect(service.output()).toMatch(/not-there.*bucket does not exist/i)
    expect(await sample(service, 'delivery_lag_events')).toBe(1)
    await service.stop()
  })

  test('an object above 16 MB goes up in parts, encrypted with the key that was asked for', async () => {
    const { here, environment } = places()
    const keyId = 'arn:aws:kms:eu-central-1:123456789012:key/11111111-2222-3333-4444-555555555555'
    const service = await startService(temporaryDirectory(), {
      ...environment,
      S3_SINK_ROLL_MS: '600000',
      S3_SINK_ROLL_BYTES: String(64 * 1024 * 1024),
      S3_SINK_KMS_KEY_ID: keyId,
      S3_SINK_TIMEOUT_MS: '30000',
    })
    const { randomBytes } = await import('node:crypto')
    for (let at = 0; at < 40; at++) {
      // Bytes that hardly get smaller.
      await post(service, [{ id: at, data: randomBytes(500_000).toString('base64') }])
    }
    expect(await service.stop()).toBe(0)
    const [object, ...others] = await here.list('events/type=')
    expect(others).toEqual([])
    expect(object?.bytes).toBeGreaterThan(16 * 1024 * 1024)
    expect(object?.etag).toMatch(/-\d"$/)
    expect(await eventsIn(here)).toHaveLength(40)
    expect(await here.head(object?.key ?? '')).toMatchObject({ ServerSideEncryption: 'aws:kms', SSEKMSKeyId: keyId })
  })

  test.skipIf(withoutDuckDb !== undefined)(
    'a million events: every one is there once, as DuckDB counts them',
    async () => {
      const { here, environment } = places()
      const directory = temporaryDirectory()
      const { S3_SINK_ROLL_MS: _, ...large } = environment
      const service = await startService(directory, { ...large, S3_SINK_TIMEOUT_MS: '30000' })
      const startedAt = performance.now()
      await sendEvents(service.url, 1_000_000)
      const sentMs = performance.now() - startedAt
      expect(await service.stop()).toBe(0) // writes what is gathered, and all before
      const writtenMs = performance.now() - startedAt
      const to = join(directory, 'copied')
      mkdirSync(to)
      const sql = 'SELECT count(*) AS events, count(DISTINCT id) AS ids, sum(data.seq)::BIGINT AS sum FROM events'
      expect(await askDuckDb(here, to, sql)).toEqual([{ events: 1_000_000, ids: 1_000_000, sum: 499_999_500_000 }])
      const objects = await here.list('events/type=')
      const mib = objects.reduce((sum, { bytes }) => sum + bytes, 0) / 2 ** 20
      console.error(
        `  a million events: accepted at ${rate(1e6, sentMs)}/s, in ${objects.length} objects (${mib.toFixed(1)} MiB) at ${rate(1e6, writtenMs)}/s, DuckDB counts 1,000,000 ids`,
      )
    },
    120_000,
  )

  test.skipIf(withoutDuckDb !== undefined)(
    `DuckDB reads gzip and zstd as one table, partitioned by type, day and hour${withoutDuckDb ? ` (${withoutDuckDb})` : ''}`,
    async () => {
      const { here, environment } = places()
      const directory = temporaryDirectory()
      for (const compression of ['gzip', 'zstd']) {
        const service = await startService(directory, { ...environment, S3_SINK_COMPRESSION: compression })
        const events = Array.from({ length: 5000 }, (_, id) => ({
          id: `${compression}${id}`,
          type: ['order.created', 'page viewed/ö'][id % 2],
          data: { n: id },
        }))
        expect((await post(service, events)).status).toBe(202)
        await delivered(service)
        await service.stop()
      }
      const to = join(directory, 'copied')
      mkdirSync(to)
      const sql = `SELECT type, count(*) AS events, count(DISTINCT id) AS ids, sum(data.n)::BIGINT AS sum, min(dt)::VARCHAR AS dt
        FROM events GROUP BY type ORDER BY type`
      const dt = new Date().toISOString().slice(0, 10)
      expect(await askDuckDb(here, to, sql)).toEqual([
        { type: 'order.created', events: 5000, ids: 5000, sum: 2 * 6_247_500, dt },
        { type: 'page viewed/ö', events: 5000, ids: 5000, sum: 2 * 6_250_000, dt },
      ])
    },
  )
})
