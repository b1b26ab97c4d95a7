/**
 * The table that events go to: CloudEvents attributes as columns, `data` as jsonb.
 *
 *     primary key (source, id)          the identity of an event in CloudEvents: a repeat inserts nothing
 *     primary key (source, id, time)    partitioned by day of `time`, which the key of a partition must include
 *
 * A row whose day has no partition goes into the default partition. The migration that creates its partition moves it.
 */
import type { Client } from 'pg'
import { MillraceError } from '../../errors.ts'

export interface Column {
  readonly name: string
  readonly type: string
  readonly required: boolean
}

/** In the order of the INSERT. */
export const COLUMNS: readonly Column[] = [
  { name: 'source', type: 'text', required: true },
  { name: 'id', type: 'text', required: true },
  { name: 'type', type: 'text', required: true },
  { name: 'subject', type: 'text', required: false },
  { name: 'time', type: 'timestamp with time zone', required: true },
  { name: 'datacontenttype', type: 'text', required: false },
  { name: 'dataschema', type: 'text', required: false },
  { name: 'data', type: 'jsonb', required: false },
  { name: 'data_binary', type: 'bytea', required: false },
  { name: 'extensions', type: 'jsonb', required: false },
  { name: 'accepted_at', type: 'timestamp with time zone', required: true },
]

/** Always quotes the name, because it may be a keyword, such as `order`. @param table with or without a schema. */
export function quoted(table: string): string {
  return table
    .split('.')
    .map((part) => `"${part.replaceAll('"', '""')}"`)
    .join('.')
}

const DAY_MS = 24 * 60 * 60 * 1000

/** The existing table. */
export interface Table {
  /** Names of the primary key's columns. */
  readonly key: readonly string[]
  readonly partitioned: boolean
}

export interface MigrateOptions {
  /** `events`, or with a schema `audit.events`; checked, since it becomes part of statements. */
  readonly table: string
  /** Used only when the table does not exist yet. */
  readonly partitionByDay: boolean
  /** Number of days, from today on, that get a partition. */
  readonly days: number
  readonly now: Date
}

/**
 * Reads the columns and the key of the table.
 * @returns undefined when the table does not exist.
 * @throws MillraceError CONFIG_INVALID when events do not fit into it.
 */
export async function inspectTable(client: Pick<Client, 'query'>, table: string): Promise<Table | undefined> {
  const { rows: found } = await client.query<{ partitioned: boolean; key: string[] | null }>(
    `SELECT relkind = 'p' AS partitioned,
       (SELECT array_agg(attname::text ORDER BY array_position(indkey::int2[], attnum))
          FROM pg_index JOIN pg_attribute ON attrelid = indrelid AND attnum = ANY (indkey)
         WHERE indrelid = pg_class.oid AND indisprimary) AS key
     FROM pg_class WHERE oid = to_regclass($1)`,
    [quoted(table)],
  )
  const [{ partitioned, key } = { partitioned: false, key: null }] = found
  if (found.length === 0) return undefined
  const { rows } = await client.query<{ name: string; type: string }>(
    `SELECT attname::text AS name, format_type(atttypid, NULL) AS type
       FROM pg_attribute WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped`,
    [quoted(table)],
  )
  const types = new Map(rows.map(({ name, type }) => [name, type]))
  for (const { name, type } of COLUMNS) {
    const own = types.get(name)
    if (own === undefined) throw unfit(table, `it has no column ${name} ${type}`)
    if (own !== type) throw unfit(table, `its column ${name} is ${own}, not ${type}`)
  }
  const keys = ['source,id', 'source,id,time']
  if (!keys.includes(key?.join() ?? '')) {
    throw unfit(table, 'its primary key is neither (source, id) nor (source, id, time): a repeat could not be told')
  }
  return { key: key ?? [], partitioned }
}

/** The statements that create the table or its missing partitions; empty when there is nothing to do. */
export async function planMigration(client: Pick<Client, 'query'>, options: MigrateOptions): Promise<string[]> {
  const { table, partitionByDay, days, now } = options
  const found = await inspectTable(client, table)
  const statements = found === undefined ? create(table, partitionByDay) : []
  if (!(found?.partitioned ?? partitionByDay)) return statements
  const present = new Set(
    (
      await client.query<{ name: string }>(
        `SELECT relname::text AS name FROM pg_inherits JOIN pg_class ON oid = inhrelid WHERE inhparent = to_regclass($1)`,
        [quoted(table)],
      )
    ).rows.map(({ name }) => name),
  )
  for (let day = 0; day < days; day++) {
    const partition = `${table}_${date(now, day).replaceAll('-', '')}`
    if (present.has(partition.split('.').at(-1) ?? '')) continue
    const [from, to] = [`'${date(now, day)} 00:00Z'`, `'${date(now, day + 1)} 00:00Z'`]
    // Create the partition detached and move its rows out of the default one, which must not hold rows of its range.
    statements.push(
      `CREATE TABLE ${quoted(partition)} (LIKE ${quoted(table)} INCLUDING ALL)`,
      `WITH moved AS (DELETE FROM ${quoted(`${table}_default`)} WHERE time >= ${from} AND time < ${to} RETURNING *)\n` +
        `  INSERT INTO ${quoted(partition)} SELECT * FROM moved`,
      `ALTER TABLE ${quoted(table)} ATTACH PARTITION ${quoted(partition)} FOR VALUES FROM (${from}) TO (${to})`,
    )
  }
  return statements
}

/** Runs the statements in one transaction. Another migration of the same table waits. */
export async function migrate(client: Pick<Client, 'query'>, options: MigrateOptions): Promise<string[]> {
  await client.query('BEGIN')
  try {
    await client.query(`SELECT pg_advisory_xact_lock(hashtextextended($1, 0))`, [`millrace ${options.table}`])
    const statements = await planMigration(client, options)
    for (const statement of statements) await client.query(statement)
    await client.query('COMMIT')
    return statements
  } catch (error) {
    await client.query('ROLLBACK').catch(() => undefined) // report the first error only
    throw error
  }
}

function create(table: string, partitionByDay: boolean): string[] {
  const columns = COLUMNS.map(({ name, type, required }) => `  ${name} ${type}${required ? ' NOT NULL' : ''},\n`)
  const key = partitionByDay ? 'source, id, time' : 'source, id'
  const partition = partitionByDay ? ' PARTITION BY RANGE (time)' : ''
  const schema = table.includes('.') ? [`CREATE SCHEMA IF NOT EXISTS ${quoted(table.split('.')[0] ?? '')}`] : []
  return [
    ...schema,
    `CREATE TABLE ${quoted(table)} (\n${columns.join('')}  PRIMARY KEY (${key})\n)${partition}`,
    ...(partitionByDay ? [`CREATE TABLE ${quoted(`${table}_default`)} PARTITION OF ${quoted(table)} DEFAULT`] : []),
  ]
}

function date(now: Date, daysLater: number): string {
  return new Date(now.getTime() + daysLater * DAY_MS).toISOString().slice(0, 10)
}

function unfit(table: string, problem: string): MillraceError {
  return new MillraceError(
    'CONFIG_INVALID',
    `POSTGRES_SINK_TABLE: events do not fit into ${table}: ${problem}. Name another, and make it: npx millrace postgres migrate`,
  )
}
