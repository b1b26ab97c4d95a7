/**
 * The postgres sink: batches of events into one table, each event once.
 *
 *     batch ─▶ one JSON array ─▶ INSERT … SELECT FROM jsonb_to_recordset ON CONFLICT DO NOTHING
 *                  ▲                   │ an error that may be about one row, or a timeout (sqlstate.ts)
 *                  └── its halves ─────┘ a single row: dead letter
 *
 * Each statement is its own transaction with its own time limits. Its rows are durable when the commit returns. Events
 * that a crash repeats are already in the table and insert nothing. A connection keeps no state between statements, so
 * a pooler may use another one for each.
 */
import pg from 'pg'
import { MillraceError, messageOf } from '../../errors.ts'
import { type Failure, type Item, type Sink, type SinkBatch, SinkUnavailable } from '../sink.ts'
import { type ConnectionOptions, clientConfig } from './connection.ts'
import { stateOf, type Trouble, troubleOf } from './sqlstate.ts'
import { COLUMNS, inspectTable, quoted, type Table } from './table.ts'

export interface PostgresSinkOptions extends ConnectionOptions {
  readonly table: string
  /** Statements at the same time, each on its own connection. */
  readonly concurrency: number
  readonly onWarning: (message: string) => void
}

/** Larger batches were not faster: docs/decisions/0015-postgres.md. */
const MAX_BATCH_EVENTS = 1000
/** Classes that mean a wrong configuration at the start: authentication, database name, its objects. */
const ABOUT_THE_CONFIGURATION = /^(28|3D|42)/
/** Share of the timeout that the server gets: it gives up before the client does, so the connection stays usable. */
const STATEMENT_SHARE = 0.9
const LOCK_SHARE = 0.5
/** How many quick statements in a row are needed before the number of rows grows again. */
const GROW_AFTER = 4

export class PostgresSink implements Sink {
  readonly concurrency: number
  readonly maxBatchEvents = MAX_BATCH_EVENTS
  readonly #options: PostgresSinkOptions
  readonly #pool: pg.Pool
  readonly #begin: string
  #statement: string | undefined
  /** Most rows in one statement, learned from the time limit, for all lanes together. */
  #maxRows = MAX_BATCH_EVENTS
  #quick = 0

  private constructor(options: PostgresSinkOptions) {
    this.#options = options
    this.concurrency = options.concurrency
    const limits = { statement_timeout: STATEMENT_SHARE, lock_timeout: LOCK_SHARE }
    this.#begin = [
      'BEGIN',
      ...Object.entries(limits).map(([name, share]) => {
        return `SET LOCAL ${name} = ${Math.max(1, Math.floor(options.timeoutMs * share))}`
      }),
    ].join('; ')
    // One connection more than lanes, for a replay.
    this.#pool = new pg.Pool({ ...clientConfig(options), max: options.concurrency + 1, idleTimeoutMillis: 60_000 })
    // A broken connection also emits an error here, which would end the process without a listener. The pool drops the
    // connection, and the statement on it fails.
    this.#pool.on('error', () => undefined)
    this.#pool.on('connect', (client) => void client.on('error', () => undefined))
  }

  /**
   * Checks the table if the database answers. If it does not, the service starts anyway.
   * @throws MillraceError CONFIG_INVALID when its answer shows that the configuration cannot work.
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

  async write({ items }: Pick<SinkBatch, 'items'>, signal: AbortSignal): Promise<readonly Failure[]> {
    const rows = items.map(rowOf)
    const failed: FailedRow[] = []
    try {
      const statement = this.#statement ?? (await this.#prepare())
      await this.#insertAll({ statement, rows, failed, signal }, 0, rows.length)
    } catch (cause) {
      if (troubleOf(cause) === 'table') this.#statement = undefined
      throw new SinkUnavailable(`the database cannot be used (${messageOf(cause)})`, { cause })
    }
    const someTaken = failed.length < rows.length
    return failed.map(({ index, error, trouble }) => ({
      index,
      reason: `PostgreSQL refuses it: ${messageOf(error)}`,
      retryable: trouble === 'slow' || (trouble === 'raised' && !someTaken),
    }))
  }

  async close(): Promise<void> {
    await this.#pool.end()
  }

  async #insertAll(batch: Batch, first: number, end: number): Promise<void> {
    for (let at = first; at < end; ) {
      const count = Math.min(this.#maxRows, end - at)
      await this.#insert(batch, at, at + count)
      at += count
    }
  }

  /** @throws errors about the table or the server. Rows of earlier statements are then in the table. */
  async #insert(batch: Batch, first: number, end: number): Promise<void> {
    try {
      await this.#transact(batch, first, end)
      this.#learn(end - first, true)
    } catch (error) {
      const trouble = troubleOf(error)
      if (trouble === 'table' || trouble === 'server') throw error
      if (end - first === 1) {
        batch.failed.push({ index: first, error, trouble })
        return
      }
      if (trouble === 'slow') {
        this.#learn(end - first, false)
        await this.#insertAll(batch, first, end)
        return
      }
      const middle = (first + end) >> 1
      await this.#insert(batch, first, middle)
      await this.#insert(batch, middle, end)
    }
  }

  /** Halves the rows of a statement after a timeout. Doubles them again after GROW_AFTER quick statements. */
  #learn(rows: number, quick: boolean): void {
    if (!quick) {
      this.#maxRows = Math.max(1, Math.min(this.#maxRows, rows) >> 1)
      this.#quick = 0
    } else if (this.#maxRows < MAX_BATCH_EVENTS && rows >= this.#maxRows && ++this.#quick >= GROW_AFTER) {
      this.#maxRows = Math.min(MAX_BATCH_EVENTS, 2 * this.#maxRows)
      this.#quick = 0
    }
  }

  async #transact({ statement, rows, signal }: Batch, first: number, end: number): Promise<void> {
    signal.throwIfAborted()
    const client = await this.#pool.connect()
    let broken = true
    // Without its connection, the statement fails at once. It may be committed: the next start repeats it safely.
    const abort = () => void client.end()
    signal.addEventListener('abort', abort)
    try {
      await client.query(this.#begin)
      await client.query(statement, [`[${rows.slice(first, end).join()}]`])
      await client.query('COMMIT')
      broken = false
    } catch (error) {
      broken = troubleOf(error) === 'server' || !(await rolledBack(client))
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
    const statement = insertStatement(table, found)
    // Finds at the start what the first insert would find: a missing privilege, a view, a rule.
    await this.#pool.query(`EXPLAIN ${statement}`, ['[]'])
    this.#statement = statement
    return statement
  }
}

export function insertStatement(table: string, { key }: Pick<Table, 'key'>): string {
  const names = COLUMNS.map(({ name }) => name).join(', ')
  const values = COLUMNS.map(({ name }) => (name === 'data_binary' ? "decode(data_base64, 'base64')" : name)).join(', ')
  const record = COLUMNS.map(({ name, type }) => (name === 'data_binary' ? 'data_base64 text' : `${name} ${type}`))
  return (
    `INSERT INTO ${quoted(table)} (${names}) SELECT ${values} FROM jsonb_to_recordset($1::jsonb) AS row(${record.join(', ')}) ` +
    `ON CONFLICT (${key.join(', ')}) DO NOTHING`
  )
}

/**
 * The event as a JSON row, with its extensions in one member. Without `time`, it gets the time at which it was
 * accepted. The bytes of `data` are those that were received: jsonb keeps numbers exactly.
 */
export function rowOf(item: Item): string {
  const acceptedAt = `"${new Date(item.appendedAtMs).toISOString()}"`
  // If a member occurs twice, the later one counts.
  let row = `{"accepted_at":${acceptedAt},"time":${acceptedAt}`
  let extensions = ''
  for (const [name, text, isExtension] of item.members()) {
    const member = `,${JSON.stringify(name)}:${text}`
    if (isExtension) extensions += member
    else row += member
  }
  return extensions === '' ? `${row}}` : `${row},"extensions":{${extensions.slice(1)}}}`
}

interface FailedRow {
  readonly index: number
  readonly error: unknown
  readonly trouble: Trouble
}

/** Rows in progress, and their outcome. */
interface Batch {
  readonly statement: string
  /** JSON texts. */
  readonly rows: readonly string[]
  readonly failed: FailedRow[]
  readonly signal: AbortSignal
}

/** Whether the connection can be used again. */
async function rolledBack(client: pg.PoolClient): Promise<boolean> {
  return client.query('ROLLBACK').then(
    () => true,
    () => false,
  )
}
