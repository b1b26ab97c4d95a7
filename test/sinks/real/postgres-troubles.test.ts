/** What goes wrong for one row, for all rows, or for a while: only what concerns all of them waits. */
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import type { Event } from '../../../app/event.ts'
import { validate } from '../../../app/event.ts'
import { PostgresSink } from '../../../app/sinks/postgres/postgres-sink.ts'
import { migrate } from '../../../app/sinks/postgres/table.ts'
import { type Rig, startDelivery } from '../../support/delivery.ts'
import { batchOf } from '../../support/events.ts'
import { missingPgBouncer, startPgBouncer } from '../../support/pgbouncer.ts'
import { missingPostgres, Postgres } from '../../support/postgres.ts'
import { until } from '../../support/service.ts'
import { temporaryDirectory } from '../../support/temporary.ts'

const missing = missingPostgres()
const withoutPgBouncer = missing ?? missingPgBouncer()
const never = new AbortController().signal
const event = (id: number, type = 'good'): Event => ({ specversion: '1.0', id: `${id}`, source: '/s', type, data: id })

describe.skipIf(missing !== undefined)(`the postgres sink${missing ? ` (skipped: ${missing})` : ''}`, () => {
  let db: Postgres
  let tables = 0
  beforeAll(async () => {
    db = await Postgres.start()
  })
  afterAll(() => db?.stop())

  /** A table of its own, and a sink into it. */
  async function openSink(
    options: { table?: string; url?: string; timeoutMs?: number; partitionByDay?: boolean } = {},
  ) {
    const { table = `troubles_${tables++}`, url = db.url, timeoutMs = 2000, partitionByDay = false } = options
    await makeTable(table, partitionByDay)
    const sink = await PostgresSink.open({
      url,
      password: '',
      tls: 'off',
      caFile: '',
      timeoutMs,
      table,
      concurrency: 2,
      onWarning: () => undefined,
    })
    return Object.assign(sink, { name: 'postgres', table })
  }

  async function makeTable(table: string, partitionByDay = false): Promise<void> {
    const client = { query: (sql: string, values?: unknown[]) => db.pool.query(sql, values) }
    const { table: _, ...days } = { table, days: 2, now: new Date() }
    await migrate(client as never, { table, partitionByDay, ...days })
  }

  async function deliver(sink: PostgresSink & { name: string }): Promise<Rig> {
    const rig = await startDelivery(temporaryDirectory(), sink)
    onTestFinished(() => void rig.close(0))
    return rig
  }

  const append = (rig: Rig, ...events: readonly Event[]) =>
    rig.log.append([
      { payload: Buffer.from(events.map((one) => JSON.stringify(one)).join('\n')), count: events.length },
    ])
  const settled = (rig: Rig) => until(() => rig.delivery.lagEvents === 0, 20_000, 'settled')
  const idsIn = async (table: string) =>
    (await db.query<{ id: string }>(`SELECT id FROM "${table}" ORDER BY id::int`)).map(({ id }) => Number(id))

  async function refuse(table: string, when: string, how: string): Promise<void> {
    await db.query(`CREATE FUNCTION ${table}_check() RETURNS trigger LANGUAGE plpgsql AS
      $$BEGIN IF ${when} THEN ${how}; END IF; RETURN new; END$$`)
    await db.query(`CREATE TRIGGER check_it BEFORE INSERT ON ${table} FOR EACH ROW EXECUTE FUNCTION ${table}_check()`)
  }

  test.each([
    ['RAISE EXCEPTION', "RAISE EXCEPTION 'not this one'"],
    ['a state of its own', "RAISE EXCEPTION 'not this one' USING ERRCODE = 'ZZ001'"],
    ['the state of a table that is missing', "RAISE EXCEPTION 'not this one' USING ERRCODE = '42P01'"],
    ['a query on a table that is missing', 'PERFORM 1 FROM not_there'],
    ['a division by zero', 'PERFORM 1 / 0'],
    ['a constraint', "RAISE EXCEPTION 'not this one' USING ERRCODE = '23514', CONSTRAINT = 'mine'"],
  ])('a trigger that refuses one type by %s: those rows are dead letters, all others are rows', async (_, how) => {
    const sink = await openSink()
    await refuse(sink.table, "new.type = 'bad'", how)
    const rig = await deliver(sink)
    const many = Array.from({ length: 300 }, (_, id) => event(id, id % 100 === 50 ? 'bad' : 'good'))
    await append(rig, ...many)
    await settled(rig)
    await append(rig, event(1000, 'bad')) // alone
    await append(rig, event(1001))
    await settled(rig)
    expect(await idsIn(sink.table)).toEqual([
      ...many.filter(({ type }) => type === 'good').map(({ id }) => Number(id)),
      1001,
    ])
    expect((await rig.delivery.deadLetters(10)).map((letter) => letter.event.id)).toEqual(['50', '150', '250', '1000'])
    expect(await rig.close()).toBe(true)
  })

  test('a policy for rows refuses one: a dead letter', async () => {
    const sink = await openSink()
    await db.query(`ALTER TABLE ${sink.table} ENABLE ROW LEVEL SECURITY`)
    await db.query(`ALTER TABLE ${sink.table} FORCE ROW LEVEL SECURITY`)
    await db.query(`CREATE POLICY mine ON ${sink.table} USING (true) WITH CHECK (type <> 'bad')`)
    await db.query(`CREATE ROLE ${sink.table} LOGIN PASSWORD 'x'`)
    await db.query(`GRANT INSERT, SELECT ON ${sink.table} TO ${sink.table}`)
    const url = new URL(db.url)
    url.username = sink.table
    url.password = 'x'
    const limited = await openSink({ table: sink.table, url: url.href })
    const rig = await deliver(limited)
    await append(rig, event(1), event(2, 'bad'), event(3))
    await settled(rig)
    expect(await idsIn(sink.table)).toEqual([1, 3])
    expect(rig.delivery.settled.deadLettered).toBe(1)
    await sink.close()
  })

  test('rows that take 10 ms each: fewer at once until they fit, and more again later', async () => {
    const sink = await openSink({ timeoutMs: 1000 })
    await refuse(sink.table, "new.type = 'slow'", 'PERFORM pg_sleep(0.01)')
    const rig = await deliver(sink)
    await append(rig, ...Array.from({ length: 250 }, (_, id) => event(id, 'slow')))
    await settled(rig)
    await append(rig, ...Array.from({ length: 2000 }, (_, id) => event(1000 + id)))
    await settled(rig)
    expect(await idsIn(sink.table)).toHaveLength(2250)
    expect(rig.delivery.settled.deadLettered).toBe(0)
    expect(await rig.close()).toBe(true)
  })

  test('a lock on the table is waited for, however long, and costs no event', async () => {
    const sink = await openSink({ timeoutMs: 300 })
    const rig = await deliver(sink)
    const holder = await db.pool.connect()
    await holder.query(`BEGIN; LOCK TABLE ${sink.table} IN ACCESS EXCLUSIVE MODE`)
    await append(rig, event(1), event(2))
    await until(() => (rig.delivery.attempts.get('unavailable') ?? 0) > 5, 20_000, 'tried')
    await holder.query('COMMIT')
    holder.release()
    await settled(rig)
    expect([await idsIn(sink.table), rig.delivery.settled.deadLettered]).toEqual([[1, 2], 0])
  })

  test.each([
    ['dropped and made again', [(table: string) => db.query(`DROP TABLE ${table}`), makeTable]],
    [
      'replaced by one with another key',
      [(table: string) => db.query(`DROP TABLE ${table}`), (table: string) => makeTable(table, true)],
    ],
    [
      'renamed away and made again',
      [
        (table: string) => db.query(`ALTER TABLE ${table} RENAME TO ${table}_old`),
        (table: string) => db.query(`CREATE TABLE ${table} (LIKE ${table}_old INCLUDING ALL)`),
      ],
    ],
    ['given one more column', [(table: string) => db.query(`ALTER TABLE ${table} ADD COLUMN more int DEFAULT 7`)]],
  ] as [string, ((table: string) => Promise<unknown>)[]][])(
    'a table that is %s beside the service: it goes on without a restart',
    async (_, changes) => {
      const sink = await openSink()
      const rig = await deliver(sink)
      await append(rig, event(1))
      await settled(rig)
      for (const change of changes) await change(sink.table)
      await append(rig, event(2), event(3))
      await settled(rig)
      expect(await idsIn(sink.table)).toEqual(expect.arrayContaining([2, 3]))
      expect(rig.delivery.settled.deadLettered).toBe(0)
    },
  )

  test('a table that is away for a while: all rows wait for it', async () => {
    const sink = await openSink()
    const rig = await deliver(sink)
    await db.query(`DROP TABLE ${sink.table}`)
    await append(rig, event(1), event(2))
    await until(() => rig.delivery.failing, 10_000, 'failing')
    await makeTable(sink.table)
    await settled(rig)
    expect([await idsIn(sink.table), rig.delivery.settled.deadLettered]).toEqual([[1, 2], 0])
  })

  test.each(['order', 'user', 'select', 'audit.table'])('a table may be called %s', async (table) => {
    for (const partitionByDay of [false, true]) {
      const quoted = table
        .split('.')
        .map((part) => `"${part}"`)
        .join('.')
      await db.query(`DROP TABLE IF EXISTS ${quoted}`)
      const sink = await openSink({ table, partitionByDay })
      expect(await sink.write(batchOf(event(1)), never)).toEqual([])
      expect(await db.query(`SELECT id FROM ${quoted}`)).toEqual([{ id: '1' }])
      await sink.close()
    }
  })

  test('what the first insert would be refused for is said at the start', async () => {
    const { table } = await openSink()
    await db.query(`CREATE ROLE reader_${table} LOGIN PASSWORD 'x'`)
    await db.query(`GRANT SELECT ON ${table} TO reader_${table}`)
    const url = new URL(db.url)
    url.username = `reader_${table}`
    url.password = 'x'
    await expect(openSink({ table, url: url.href })).rejects.toThrow(/permission denied for table/)
  })

  describe.skipIf(withoutPgBouncer !== undefined)(
    `behind PgBouncer${withoutPgBouncer ? ` (skipped: ${withoutPgBouncer})` : ''}`,
    () => {
      test.each(['session', 'transaction'] as const)('with its defaults, a connection for each %s', async (mode) => {
        const pooler = await startPgBouncer(db.url, mode)
        onTestFinished(() => pooler.stop())
        const sink = await openSink({ url: pooler.url, timeoutMs: 1000 })
        await refuse(sink.table, "new.type = 'bad'", "RAISE EXCEPTION 'not this one'")
        const rig = await deliver(sink)
        for (let from = 0; from < 500; from += 100) {
          await append(rig, ...Array.from({ length: 100 }, (_, at) => event(from + at, at === 7 ? 'bad' : 'good')))
        }
        await settled(rig)
        expect(await idsIn(sink.table)).toHaveLength(495)
        expect(rig.delivery.settled.deadLettered).toBe(5)
        // The limits are those of our transactions: others behind the pooler have none.
        await rig.close()
        const others = await startPgBouncerSession(pooler.url)
        expect(others).toEqual([{ statement_timeout: '0' }])
      })
    },
  )

  test('property: whatever is in an event, it is a row or a dead letter, and holds up no other', async () => {
    const sink = await openSink()
    const rig = await deliver(sink)
    const text = fc.oneof(
      fc.string({ unit: 'binary', minLength: 1, maxLength: 100 }),
      fc.string({ minLength: 900, maxLength: 1024 }),
      fc.constantFrom('a\u0000b', '\ud83d\ude00', "'; DROP TABLE x", '$1', '%', '\\'),
    )
    const number = fc.oneof(fc.double(), fc.constantFrom(1e308, 5e-324, -0))
    const data = fc.oneof(fc.jsonValue(), text, number, fc.constant('x'.repeat(100_000)))
    const time = fc.constantFrom(
      '2016-12-31T23:59:60Z',
      '0000-01-01T00:00:00Z',
      '9999-12-31T23:59:59Z',
      '2026-01-31T00:00:00+23:59',
    )
    const source = fc.constantFrom('/a', '/%C3%A9', 'urn:x:1', `/${'a'.repeat(1000)}`)
    const any = fc.record(
      { source, type: text, subject: text, time, ext: text, data },
      { requiredKeys: ['source', 'type'] },
    )
    let sent = 0
    await fc.assert(
      fc.asyncProperty(fc.array(any, { minLength: 1, maxLength: 30 }), async (events) => {
        const some = events
          .map((one): Event => ({ specversion: '1.0', id: `${sent++}`, ...one }))
          .filter((one) => validate(JSON.parse(JSON.stringify(one))) === undefined)
        if (some.length > 0) await append(rig, ...some)
        await append(rig, event(sent++))
        await settled(rig)
      }),
      { numRuns: 40 },
    )
    const [{ rows } = { rows: 0 }] = await db.query<{ rows: number }>(`SELECT count(*)::int AS rows FROM ${sink.table}`)
    expect(rows).toBe(rig.delivery.settled.delivered)
    expect(rows).toBeGreaterThan(100)
  })

  async function startPgBouncerSession(url: string): Promise<unknown[]> {
    const { default: pg } = await import('pg')
    const client = new pg.Client({ connectionString: url })
    await client.connect()
    const { rows } = await client.query('SHOW statement_timeout')
    await client.end()
    return rows
  }
})
