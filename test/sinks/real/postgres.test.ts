import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { type Load, rate, sendEvents, startLoad } from '../../support/load.ts'
import { missingPostgres, Postgres } from '../../support/postgres.ts'
import { CLI, caughtUp, post, type Service, sinkSample, startService, until } from '../../support/service.ts'
import { temporaryDirectory } from '../../support/temporary.ts'

const missing = missingPostgres()
const run = promisify(execFile)
const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

const QUICK = { POSTGRES_SINK_TIMEOUT_MS: '1000', RETRY_BASE_MS: '20', RETRY_MAX_MS: '200' }

describe.skipIf(missing !== undefined)(`the postgres sink${missing ? ` (skipped: ${missing})` : ''}`, () => {
  let db: Postgres
  let tables = 0
  beforeAll(async () => {
    db = await Postgres.start()
  })
  afterEach(async () => {
    db?.resume()
    if (db?.pids.length === 0) await db.restart() // a test that failed left it dead
  })
  afterAll(() => db?.stop())

  const migrate = (environment: Record<string, string>, ...flags: string[]) =>
    run(process.execPath, [CLI, 'postgres', 'migrate', ...flags], { env: { PATH: process.env.PATH, ...environment } })

  /** Every test has a table of its own. */
  async function table(...flags: string[]) {
    const name = `events_${tables++}`
    const environment = { SINKS: 'postgres', POSTGRES_SINK_URL: db.url, POSTGRES_SINK_TABLE: name, ...QUICK }
    const { stdout } = await migrate(environment, ...flags)
    return { name, environment, stdout }
  }

  const sample = (service: Service, metric: string) => sinkSample(service, 'postgres', metric)
  const delivered = (service: Service) => caughtUp(service, ['postgres'], 40_000)
  const failing = (service: Service, value: number) =>
    until(async () => (await sample(service, 'sink_failing')) === value, 20_000, `sink_failing is ${value}`)

  /** As many rows as unique ids, all that were acknowledged among them, and none that was not sent. */
  async function expectOnce(name: string, { acknowledged, sent }: Pick<Load, 'acknowledged' | 'sent'>): Promise<void> {
    const rows = await db.query<{ id: string }>(`SELECT id FROM ${name}`)
    const unique = new Set(rows.map(({ id }) => id))
    expect(rows.length).toBe(unique.size)
    expect([...acknowledged].filter((id) => !unique.has(id))).toEqual([])
    expect([...unique].filter((id) => !sent.has(id))).toEqual([])
    console.error(`  ${acknowledged.size} acknowledged, ${rows.length} rows with ${unique.size} ids`)
  }

  test('a row holds the attributes as columns, data as jsonb, bytes as bytea and extensions in one place', async () => {
    const { name, environment } = await table()
    const service = await startService(temporaryDirectory(), environment)
    const time = '2026-01-31T12:00:00.123Z'
    const complete = { specversion: '1.0', id: 'a', source: '/shop', type: 'order.created', time, subject: 's' }
    await post(service, [
      {
        ...complete,
        datacontenttype: 'application/json',
        data: { deep: ['ü', null, 1.5] },
        traceid: 'x',
        extensions: 1,
      },
      { specversion: '1.0', id: 'b', source: '/shop', type: 'image', data_base64: 'aGVsbG8=' },
      { id: 3, data: null },
      { id: 3, data: 'again' },
    ])
    await delivered(service)
    const rows = await db.query(`SELECT * FROM ${name} ORDER BY id DESC`)
    const accepted_at = rows[0]?.accepted_at
    expect(Math.abs(accepted_at - Date.now())).toBeLessThan(10_000)
    const none = { subject: null, datacontenttype: null, dataschema: null, data: null, data_binary: null }
    const bytes = { data_binary: Buffer.from('hello'), time: accepted_at }
    expect(rows).toEqual([
      { ...none, source: '/shop', id: 'b', type: 'image', ...bytes, extensions: null, accepted_at },
      {
        ...none,
        ...{ source: '/shop', id: 'a', type: 'order.created', subject: 's', time: new Date(time) },
        ...{ datacontenttype: 'application/json', data: { deep: ['ü', null, 1.5] } },
        extensions: { traceid: 'x', extensions: 1 },
        accepted_at,
      },
      { ...none, source: 'millrace', id: '3', type: 'event', time: accepted_at, extensions: null, accepted_at },
    ])
    expect(await service.stop()).toBe(0)
  })

  test('numbers of data are what was sent, to the last digit', async () => {
    const { name, environment } = await table()
    const service = await startService(temporaryDirectory(), environment)
    const digits = (count: number) => '1234567890123456789012345678901234567890'.slice(0, count)
    const integers = Array.from({ length: 40 }, (_, at) => [digits(at + 1), `-${digits(at + 1)}`]).flat()
    const fractions = '0 -0 1.0 -1.50 1e400 -1E+400 1e-400 0.1 9007199254740993 12345678901234567890.123'.split(' ')
    const numbers = [...integers, ...fractions]
    const body = numbers.map((number, at) => `{"id":${at},"data":{"n":${number},"text":"\\u0041\\/"}}`).join('\n')
    const headers = { 'content-type': 'application/x-ndjson' }
    expect((await fetch(`${service.url}/v1/events`, { method: 'POST', body, headers })).status).toBe(202)
    await delivered(service)
    const sent = numbers.map((number, at) => `(${at}, '${number}'::numeric)`).join()
    const [{ same, rows } = {}] = await db.query(
      `SELECT count(*)::int AS rows, count(*) FILTER (WHERE (data->>'n')::numeric = sent.n AND data->>'text' = 'A/')::int AS same
         FROM ${name} JOIN (VALUES ${sent}) AS sent (id, n) ON sent.id::text = ${name}.id`,
    )
    expect([rows, same]).toEqual([numbers.length, numbers.length])
    expect(await service.stop()).toBe(0)
  })

  test('an event that no table takes is a dead letter alone; those of its batch are rows', async () => {
    const { name, environment } = await table()
    await db.query(`ALTER TABLE ${name} ADD CONSTRAINT small CHECK ((data->>'n')::int < 1000)`)
    const service = await startService(temporaryDirectory(), environment)
    const events = Array.from({ length: 900 }, (_, n) => ({ id: `${n}`, data: { n } as object }))
    for (const n of [0, 449, 899]) events[n] = { id: `${n}`, data: { n, text: 'zero \u0000 byte' } }
    events[300] = { id: '300', data: { n: 5000 } }
    await post(service, events)
    await delivered(service)
    expect(await db.query(`SELECT count(*)::int AS rows FROM ${name}`)).toEqual([{ rows: 896 }])
    const { stdout } = await run(process.execPath, [CLI, 'dlq', 'list', '--json', '--admin', service.adminUrl])
    const letters = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
    expect(letters.map(({ event, reason }) => [event.id, reason]).sort(([a], [b]) => a - b)).toEqual([
      ['0', expect.stringMatching(/PostgreSQL refuses it: .*Unicode/)],
      ['300', expect.stringMatching(/PostgreSQL refuses it: .*"small"/)],
      ['449', expect.stringMatching(/Unicode/)],
      ['899', expect.stringMatching(/Unicode/)],
    ])
    expect(await service.stop()).toBe(0)
  })

  test('the database is killed again and again in the middle of batches: every event is one row', async () => {
    const { name, environment } = await table()
    const service = await startService(temporaryDirectory(), environment)
    const load = startLoad(service.url, { connections: 4, batch: 100, dataLength: 100, pauseMs: 2 })
    for (let kill = 0; kill < 4; kill++) {
      await sleep(700 + 130 * kill)
      await db.kill()
      await failing(service, 1)
      await db.restart()
      await failing(service, 0)
    }
    await load.stop()
    await delivered(service)
    expect(await service.stop()).toBe(0)
    await expectOnce(name, load)
  })

  test('the service is killed again and again in the middle of batches: every event is one row', async () => {
    const { name, environment } = await table('--partition-by-day')
    const directory = temporaryDirectory()
    const [sent, acknowledged] = [new Set<string>(), new Set<string>()]
    for (let round = 0; round < 6; round++) {
      const service = await startService(directory, environment)
      const load = startLoad(service.url, { connections: 4, batch: 50, dataLength: 100, prefix: `r${round}-` })
      await sleep(600 + 170 * round)
      await service.stop('SIGKILL')
      await load.stop()
      for (const id of load.sent) sent.add(id)
      for (const id of load.acknowledged) acknowledged.add(id)
    }
    const last = await startService(directory, environment)
    await delivered(last)
    expect(await last.stop()).toBe(0)
    await expectOnce(name, { sent, acknowledged })
  })

  test('a database that hangs: the sink fails, a stop still ends in time, and nothing is lost', async () => {
    const { name, environment } = await table()
    const directory = temporaryDirectory()
    const quick = { ...environment, SHUTDOWN_DRAIN_MS: '1000' }
    const first = await startService(directory, quick)
    const load = startLoad(first.url, { connections: 4, batch: 50, pauseMs: 5 })
    await sleep(700)
    db.pause()
    await failing(first, 1)
    db.resume()
    await failing(first, 0)
    await sleep(300)
    db.pause()
    await failing(first, 1)
    await load.stop()
    const stoppedAt = performance.now()
    expect(await first.stop()).toBe(0)
    expect(performance.now() - stoppedAt).toBeLessThan(6000)
    db.resume()
    const second = await startService(directory, environment)
    await delivered(second)
    expect(first.output()).toMatch(/sink postgres fails.*the database cannot be used/)
    expect(await second.stop()).toBe(0)
    await expectOnce(name, load)
  })

  test('a database that does not answer at the start is waited for; one that says no ends it, in a line without the password', async () => {
    const { name, environment } = await table()
    const directory = temporaryDirectory()
    await db.kill()
    const service = await startService(directory, environment)
    await post(service, [{ id: 'early', data: 1 }])
    await failing(service, 1)
    expect(service.output()).toMatch(/database of the postgres sink does not answer \(connect ECONNREFUSED/)
    await db.restart()
    await delivered(service)
    expect(await db.query(`SELECT id FROM ${name}`)).toEqual([{ id: 'early' }])
    expect(await service.stop()).toBe(0)

    const refused = async (changed: Record<string, string>) => {
      const ended = startService(temporaryDirectory(), { ...environment, ...changed }).catch(({ message }) => message)
      const text = String(await ended)
      expect(text).toMatch(/^ended with 2/)
      for (const secret of ['a-password-of-the-tests', 'wrong-one']) expect(text).not.toContain(secret)
      return text
    }
    const wrong = db.url.replace('a-password-of-the-tests', 'wrong-one')
    expect(await refused({ POSTGRES_SINK_URL: wrong })).toMatch(
      /URL: password authentication failed for user "millrace"/,
    )
    expect(await refused({ POSTGRES_SINK_PASSWORD: 'wrong-one' })).toMatch(/password authentication failed/)
    expect(await refused({ POSTGRES_SINK_URL: `${db.url}2` })).toMatch(/database "millrace2" does not exist/)
    expect(await refused({ POSTGRES_SINK_URL: `${db.url}?sslmode=require` })).toMatch(/POSTGRES_SINK_TLS says it/)
    expect(await refused({ POSTGRES_SINK_TABLE: 'elsewhere' })).toMatch(/no table elsewhere.*millrace postgres migrate/)
    await db.query('CREATE TABLE odd (id text PRIMARY KEY)')
    expect(await refused({ POSTGRES_SINK_TABLE: 'odd' })).toMatch(/do not fit into odd: it has no column source text/)
  })

  test('the service itself needs INSERT and SELECT on the table, no more', async () => {
    const { name, environment } = await table()
    await db.query(`CREATE ROLE writer LOGIN PASSWORD 'of-the-writer'`)
    await db.query(`GRANT INSERT, SELECT ON ${name} TO writer`)
    const POSTGRES_SINK_URL = db.url.replace(/millrace:[^@]+/, 'writer')
    const writer = { ...environment, POSTGRES_SINK_URL, POSTGRES_SINK_PASSWORD: 'of-the-writer' }
    const service = await startService(temporaryDirectory(), writer)
    await post(service, [{ id: 'a', data: 1 }])
    await delivered(service)
    expect(await db.query(`SELECT id FROM ${name}`)).toEqual([{ id: 'a' }])
    expect(await service.stop()).toBe(0)
  })

  test('migrations: shown first, repeated at will, two at once; a day that gets its partition later takes its rows along', async () => {
    const environment = { POSTGRES_SINK_URL: db.url, POSTGRES_SINK_TABLE: 'audit.trail', ...QUICK }
    const names = async () =>
      (
        await db.query<{ name: string }>(
          `SELECT relname AS name FROM pg_class WHERE relname LIKE 'trail%' AND relkind IN ('r', 'p') ORDER BY 1`,
        )
      ).map(({ name }) => name)
    const shown = await migrate(environment, '--partition-by-day', '--days', '2', '--dry-run')
    expect(shown.stdout).toMatch(/CREATE TABLE "audit"."trail".*nothing was changed/s)
    expect(await names()).toEqual([])
    await Promise.all([
      migrate(environment, '--partition-by-day', '--days', '2'),
      migrate(environment, '--partition-by-day', '--days', '2'),
    ])
    const day = (later: number) => new Date(Date.now() + later * 86_400_000).toISOString().slice(0, 10)
    const partition = (later: number) => `trail_${day(later).replaceAll('-', '')}`
    expect(await names()).toEqual(['trail', partition(0), partition(1), 'trail_default'])
    const service = await startService(temporaryDirectory(), { ...environment, SINKS: 'postgres' })
    const event = (id: string, time: string) => ({ specversion: '1.0', id, source: '/a', type: 't', time, data: 1 })
    await post(service, [event('now', `${day(0)}T12:00:00Z`), event('later', `${day(2)}T12:00:00Z`)])
    await delivered(service)
    expect(await db.query('SELECT id FROM audit.trail_default')).toEqual([{ id: 'later' }])
    expect((await migrate(environment, '--days', '4')).stdout).toMatch(/6 statements, done/)
    expect(await db.query('SELECT id FROM audit.trail_default')).toEqual([])
    expect(await db.query(`SELECT id FROM audit.${partition(2)}`)).toEqual([{ id: 'later' }])
    expect((await migrate(environment, '--days', '4')).stdout).toMatch(/nothing to do: audit.trail/)
    await post(service, [event('later', `${day(2)}T12:00:00Z`), event('then', `${day(3)}T12:00:00Z`)])
    await delivered(service)
    expect(await db.query('SELECT id FROM audit.trail ORDER BY id')).toEqual([
      { id: 'later' },
      { id: 'now' },
      { id: 'then' },
    ])
    expect(await service.stop()).toBe(0)
  })

  test('TLS: only with a certificate that is trusted', async () => {
    const tls = await Postgres.start({ tls: true })
    try {
      const environment = { SINKS: 'postgres', POSTGRES_SINK_URL: tls.url, POSTGRES_SINK_TLS: 'verify', ...QUICK }
      const trusting = { ...environment, POSTGRES_SINK_CA_FILE: `${tls.directory}/ca.pem` }
      await migrate(trusting)
      const service = await startService(temporaryDirectory(), trusting)
      await post(service, [{ id: 'a', data: 1 }])
      await delivered(service)
      expect(await tls.query('SELECT id FROM events')).toEqual([{ id: 'a' }])
      expect(await service.stop()).toBe(0)
      const doubting = await startService(temporaryDirectory(), environment)
      expect(doubting.output()).toMatch(/does not answer \(self-signed certificate\)/)
      await doubting.stop()
      const plain = startService(temporaryDirectory(), { ...trusting, POSTGRES_SINK_TLS: 'off' })
      await expect(plain).rejects.toThrow(/POSTGRES_SINK_URL: no pg_hba.conf entry.*no encryption/)
    } finally {
      await tls.stop()
    }
  })

  test('a million events: a row each', async () => {
    const { name, environment } = await table()
    const service = await startService(temporaryDirectory(), { ...environment, POSTGRES_SINK_TIMEOUT_MS: '10000' })
    const startedAt = performance.now()
    await sendEvents(service.url, 1_000_000)
    const sentMs = performance.now() - startedAt
    await until(async () => (await sample(service, 'delivery_lag_events')) === 0, 100_000, 'all is delivered')
    const writtenMs = performance.now() - startedAt
    expect(await service.stop()).toBe(0)
    const sql = `SELECT count(*)::int AS rows, count(DISTINCT id)::int AS ids, sum((data->>'seq')::int)::text AS sum FROM ${name}`
    expect(await db.query(sql)).toEqual([{ rows: 1_000_000, ids: 1_000_000, sum: '499999500000' }])
    console.error(`  a million events: accepted at ${rate(1e6, sentMs)}/s, rows at ${rate(1e6, writtenMs)}/s`)
  }, 150_000)
})
