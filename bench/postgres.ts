/**
 * Compares ways to write a batch of events into the sink's table in PostgreSQL. With each, a repeat inserts nothing:
 *
 * - one JSON array, as the sink does,
 * - one array for each column,
 * - COPY into a temporary table.
 */
import { once } from 'node:events'
import pg from 'pg'
import { from as copyFrom } from 'pg-copy-streams'
import { itemOf } from '../app/event/item.ts'
import type { Event } from '../app/event.ts'
import { insertStatement, rowOf } from '../app/sinks/postgres/postgres-sink.ts'
import { COLUMNS, migrate } from '../app/sinks/postgres/table.ts'
import { missingPostgres, Postgres } from '../test/support/postgres.ts'
import type { Measured, Question } from './question.ts'
import { Collected } from './support/bouts.ts'
import { type Case, takeTurns } from './support/rounds.ts'

const ORIGIN = { logId: 'bench', baseOffset: 0, appendedAtMs: 1_767_225_600_000 }
const CONNECTIONS = 4
const TABLE = { table: 'events', partitionByDay: false, days: 1, now: new Date() }
const KEY = ['source', 'id']
const NAMES = COLUMNS.map(({ name }) => name)
const UNNEST =
  `INSERT INTO events (${NAMES.join(', ')}) SELECT * FROM ` +
  `unnest(${COLUMNS.map(({ type }, at) => `$${at + 1}::${type}[]`).join(', ')}) ON CONFLICT DO NOTHING`

type Row = Record<string, unknown>
type Write = (client: pg.Client, rows: Row[]) => Promise<unknown>

const cell = (row: Row, name: string) => {
  const value = row[name]
  if (value === undefined) return null
  return name === 'data' || name === 'extensions' ? JSON.stringify(value) : value
}
/** Text format of COPY: backslash escapes. */
const escaped = (value: unknown) =>
  value === null
    ? '\\N'
    : String(value).replaceAll('\\', '\\\\').replaceAll('\t', '\\t').replaceAll('\n', '\\n').replaceAll('\r', '\\r')

const asJson: Write = (client, rows) => client.query(insertStatement('events', { key: KEY }), [JSON.stringify(rows)])
const asArrays: Write = (client, rows) =>
  client.query(
    UNNEST,
    NAMES.map((name) => rows.map((row) => cell(row, name))),
  )
const byCopy: Write = async (client, rows) => {
  await client.query('CREATE TEMPORARY TABLE IF NOT EXISTS staged (LIKE events) ON COMMIT DELETE ROWS')
  await client.query('BEGIN')
  const stream = client.query(copyFrom('COPY staged FROM STDIN'))
  stream.end(rows.map((row) => `${NAMES.map((name) => escaped(cell(row, name))).join('\t')}\n`).join(''))
  await once(stream, 'finish')
  await client.query('INSERT INTO events SELECT * FROM staged ON CONFLICT DO NOTHING')
  await client.query('COMMIT')
}

async function measure(smoke: boolean): Promise<Measured> {
  const database = await Postgres.start()
  const clients = Array.from({ length: CONNECTIONS }, () => new pg.Client(database.url))
  try {
    await Promise.all(clients.map((client) => client.connect()))
    const [first] = clients
    if (first) await migrate(first, TABLE)
    let next = 0
    const event = (): Event => {
      const id = next++
      const data = { order: id, total: id / 4, currency: 'EUR', items: [{ sku: 'A-1', count: 2 }], note: 'at the door' }
      return {
        specversion: '1.0',
        id: `order-${id}`,
        source: '/shop',
        type: 'order.created',
        subject: `c-${id % 1000}`,
        data,
      }
    }
    const writing =
      (write: Write, batch: number): Case =>
      async (events) => {
        let left = events
        const connection = async (client: pg.Client) => {
          while (left > 0) {
            left -= batch
            const rows = Array.from(
              { length: batch },
              () => JSON.parse(rowOf(itemOf(Buffer.from(JSON.stringify(event())), ORIGIN))) as Row,
            )
            await write(client, rows)
          }
        }
        await Promise.all(clients.map(connection))
        return events - left
      }
    const cases = {
      'one JSON array, 200 events': writing(asJson, 200),
      'one JSON array, 1,000 events': writing(asJson, 1000),
      'one JSON array, 4,000 events': writing(asJson, 4000),
      'an array a column, 1,000 events': writing(asArrays, 1000),
      'COPY and INSERT, 1,000 events': writing(byCopy, 1000),
      'COPY and INSERT, 4,000 events': writing(byCopy, 4000),
    }
    const collected = new Collected()
    for (const [name, rates] of await takeTurns(cases, smoke ? 1 : 5, smoke ? 4000 : 100_000)) {
      for (const eventsPerSecond of rates) collected.add(name, { eventsPerSecond })
    }
    return { series: collected.series }
  } finally {
    await Promise.all(clients.map((client) => client.end()))
    await database.stop()
  }
}

export const postgresBench: Question = {
  name: 'postgres',
  title: 'Ways to write into PostgreSQL',
  how: `${CONNECTIONS} connections to a database on this machine, through the statement of the sink's table, so that a repeat inserts nothing.`,
  targets: [],
  plots: [],
  async run({ smoke }) {
    const reason = missingPostgres()
    return reason === undefined ? measure(smoke) : { series: [], skipped: [{ subject: 'all', reason }] }
  },
}
