/** The suite for sinks on the postgres sink, with a real PostgreSQL. The other sinks: test/testing/sink-checks.test.ts. */
import type { Event } from 'millrace'
import { contextOf, type SinkUnderTest, sinkChecks } from 'millrace/testing'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, describe, test } from 'vitest'
import { PostgresSink } from '../../../app/sinks/postgres/postgres-sink.ts'
import { migrate } from '../../../app/sinks/postgres/table.ts'
import { missingPostgres, Postgres } from '../../support/postgres.ts'

const missing = missingPostgres()

interface Row {
  readonly id: string
  readonly source: string
  readonly type: string
  readonly subject: string | null
  readonly time: Date
  readonly datacontenttype: string | null
  readonly dataschema: string | null
  /** Text, which tells JSON's null from none. */
  readonly data: string | null
  readonly data_base64: string | null
  readonly extensions: object | null
}

function eventOf({ time, data, extensions, ...attributes }: Row): Event {
  const present = Object.entries(attributes).filter(([, value]) => value !== null)
  return {
    specversion: '1.0',
    ...(Object.fromEntries(present) as Pick<Event, 'id' | 'source' | 'type'>),
    time: time.toISOString().replace('.000Z', 'Z'),
    ...(data !== null && { data: JSON.parse(data) }),
    ...extensions,
  }
}

describe.skipIf(missing !== undefined)(`the postgres sink${missing ? ` (skipped: ${missing})` : ''}`, () => {
  let db: Postgres
  let tables = 0
  beforeAll(async () => {
    db = await Postgres.start()
  })
  afterEach(async () => {
    db?.resume()
    if (db?.pids.length === 0) await db.restart()
  })
  afterAll(() => db?.stop())

  const subject: SinkUnderTest = {
    isIdempotent: true,
    withinMs: 20_000,
    open: async () => {
      const table = `conformance_${tables++}`
      const client = new pg.Client({ connectionString: db.url })
      await client.connect()
      await migrate(client, { table, partitionByDay: false, days: 1, now: new Date() })
      await client.end()
      const place = { url: db.url, password: '', tls: 'off', caFile: '', table } as const
      const { onWarning } = contextOf('postgres')
      const open = () => PostgresSink.open({ ...place, timeoutMs: 2000, concurrency: 2, onWarning })
      const columns = 'id, source, type, subject, time, datacontenttype, dataschema, data::text, extensions'
      return {
        sink: await open(),
        reopen: open,
        // In the order in which they were inserted: rows of a new table stand one behind the other.
        delivered: async () => {
          const bytes = "encode(data_binary, 'base64') AS data_base64"
          return (await db.query<Row & object>(`SELECT ${columns}, ${bytes} FROM ${table} ORDER BY ctid`)).map(eventOf)
        },
        refuse: async (ids) => {
          const list = ids.map((id) => `'${id}'`).join(', ')
          await db.query(`ALTER TABLE ${table} ADD CONSTRAINT wanted CHECK (id NOT IN (${list}))`)
        },
        setAway: (isAway) => (isAway ? db.kill() : db.restart()),
        hang: () => db.pause(),
        dispose: () => db.resume(),
      }
    },
  }
  for (const { name, run } of sinkChecks(subject)) test(name, run)
})
