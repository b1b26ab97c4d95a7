/**
 * The postgres sink: batches of events into one table, each event once.
 *
 *     batch ─▶ one JSON array ─▶ INSERT … SELECT FROM jsonb_to_recordset ON CONFLICT DO NOTHING
 *                  ▲                   │ an event that no table takes (SQLSTATE 22, 23, 54)
 *                  └── its halves ─────┘ alone: dead letter
 *
 * A statement is a transaction: it is in the table, durable, when it returns; what a crash repeats is there already and
 * inserts nothing. Any other error says that the database cannot be used now, and its connection is not used again.
 */
import pg from 'pg'
import { MillraceError, messageOf } from '../../errors.ts'
import type { Event } from '../../event.ts'
import { type Failure, type Item, type Sink, SinkUnavailable } from '../sink.ts'
import { type ConnectionOptions, clientConfig } from './connection.ts'
import { COLUMNS, inspectTable, type Table } from './table.ts'

export interface PostgresSinkOptions extends ConnectionOptions {
  readonly table: string
  /** Statements at once, each on a connection of its own. */
  readonly concurrency: number
  readonly onWarning: (message: string) => void
}

/** More at once were not faster: docs/decisions/0015-postgres.md. */
const MAX_BATCH_EVENTS = 1000
/** Classes of SQLSTATE that are about the row: data exception, integrity constraint, program limit exceeded. */
const ABOUT_THE_ROW = /^(22|23|54)/
/** Classes that say, at the start, that the configuration is wrong: who we are, which database, its objects. */
const ABOUT_THE_CONFIGURATION = /^(28|3D|42)/
const ATTRIBUTES = new Set(
  'specversion id source type subject time datacontenttype dataschema data data_base64'.split(' '),
)

export class PostgresSink implements Sink {
  readonly concurrency: number
  readonly maxBatchEvents = MAX_BATCH_EVENTS
  readonly #options: PostgresSinkOptions
  readonly #pool: pg.Pool
  #statement: string | undefined

  private constructor(options: PostgresSinkOptions) {
    this.#options = options
    this.concurrency = options.concurrency
    // One more than lanes: a replay comes beside them.
    this.#pool = new pg.Pool({ ...clientConfig(options), max: options.concurrency + 1, idleTimeoutMillis: 60_000 })
    // A connection that breaks says so here as well, idle or not, and ends the process when nobody listens. The pool drops
    // it, and what was asked on it fails.
    this.#pool.on('error', () => undefined)
    this.#pool.on('connect', (client) => void client.on('error', () => undefined))
  }

  /**
   * Checks the table, if the database answers: one that does not is no reason not to start.
   * @throws MillraceError CONFIG_INVALID when it answers that this cannot work.
   */
  static async open(options: PostgresSinkOptions): Promise<PostgresSink> {
    const sink = new PostgresSink(options)
    try {
      await sink.#prepare()
    } catch (error) {
      if (error instanceof MillraceError || ABOUT_THE_CONFIGURATION.test(stateOf(error))) {
        await sink.close()
        if (error instanceof MillraceError) throw error
        throw new MillraceError('CONFIG_INVALID', `POSTGRES_SINK_URL: ${messageOf(error)}`, { cause: error })
      }
      options.onWarning(`the database of the postgres sink does not answer (${messageOf(error)}): its events wait`)
    }
    return sink
  }

  async write(items: readonly Item[], signal: AbortSignal): Promise<readonly Failure[]> {
    const failures: Failure[] = []
    try {
      const statement = this.#statement ?? (await this.#prepare())
      await this.#insert(statement, items.map(rowOf), 0, failures, signal)
    } catch (cause) {
      throw new SinkUnavailable(`the database cannot be used (${messageOf(cause)})`, { cause })
    }
    return failures
  }

  async close(): Promise<void> {
    await this.#pool.end()
  }

  /** @param first place of the first row in the batch. */
  async #insert(
    statement: string,
    rows: readonly object[],
    first: number,
    failures: Failure[],
    signal: AbortSignal,
  ): Promise<void> {
    try {
      await this.#query(statement, JSON.stringify(rows), signal)
    } catch (error) {
      if (!isAboutTheRow(error)) throw error
      if (rows.length === 1) {
        failures.push({ index: first, reason: `PostgreSQL refuses it: ${messageOf(error)}`, retryable: false })
        return
      }
      const half = rows.length >> 1
      await this.#insert(statement, rows.slice(0, half), first, failures, signal)
      await this.#insert(statement, rows.slice(half), first + half, failures, signal)
    }
  }

  async #query(statement: string, rows: string, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    const client = await this.#pool.connect()
    let broken = true
    // Without the connection the statement fails at once; whether it was committed, the next start asks by repeating.
    const abort = () => void client.end()
    signal.addEventListener('abort', abort)
    try {
      await client.query(statement, [rows])
      broken = false
    } catch (error) {
      broken = !isAboutTheRow(error)
      throw error
    } finally {
      signal.removeEventListener('abort', abort)
      client.release(broken)
    }
  }

  async #prepare(): Promise<string> {
    const { table } = this.#options
    const found = await inspectTable(this.#pool, table)
    if (found === undefined) {
      const problem = `there is no table ${table}: make it with npx millrace postgres migrate`
      throw new MillraceError('CONFIG_INVALID', `POSTGRES_SINK_TABLE: ${problem}`)
    }
    this.#statement = insertStatement(table, found)
    return this.#statement
  }
}

export function insertStatement(table: string, { key }: Pick<Table, 'key'>): string {
  const names = COLUMNS.map(({ name }) => name).join(', ')
  const values = COLUMNS.map(({ name }) => (name === 'data_binary' ? "decode(data_base64, 'base64')" : name)).join(', ')
  const record = COLUMNS.map(({ name, type }) => (name === 'data_binary' ? 'data_base64 text' : `${name} ${type}`))
  return (
    `INSERT INTO ${table} (${names}) SELECT ${values} FROM jsonb_to_recordset($1::jsonb) AS row(${record.join(', ')}) ` +
    `ON CONFLICT (${key.join(', ')}) DO NOTHING`
  )
}

/** The event with its extensions in one place; one without `time` happened when it was accepted. */
export function rowOf({ event, appendedAtMs }: Pick<Item, 'event' | 'appendedAtMs'>): object {
  const accepted_at = new Date(appendedAtMs).toISOString()
  let attributes: Event = event
  let extensions: Record<string, unknown> | undefined
  for (const name in event) {
    if (ATTRIBUTES.has(name)) continue
    extensions ??= {}
    extensions[name] = event[name]
  }
  if (extensions) {
    attributes = Object.fromEntries(Object.entries(event).filter(([name]) => ATTRIBUTES.has(name))) as unknown as Event
  }
  return { time: accepted_at, ...attributes, extensions, accepted_at }
}

function stateOf(error: unknown): string {
  return error instanceof pg.DatabaseError ? (error.code ?? '') : ''
}

/** A day without a partition, where someone dropped the default one, is a check violation too: but not the row's. */
function isAboutTheRow(error: unknown): boolean {
  const state = stateOf(error)
  if (state === '23514') return (error as pg.DatabaseError).constraint !== undefined
  return ABOUT_THE_ROW.test(state)
}
