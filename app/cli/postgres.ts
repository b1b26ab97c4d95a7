/** `millrace postgres migrate`: makes the table of the postgres sink, or the partitions that it needs next. */
import pg from 'pg'
import { MillraceError, messageOf } from '../errors.ts'
import { type ConnectionOptions, clientConfig } from '../sinks/postgres/connection.ts'
import { type MigrateOptions, migrate, planMigration } from '../sinks/postgres/table.ts'
import { print } from './output.ts'

/** Another migration may be at work: longer than the sink waits. */
const TIMEOUT_MS = 10 * 60 * 1000

/** @param dryRun prints the statements and runs none of them. */
export async function migratePostgres(
  connection: Omit<ConnectionOptions, 'timeoutMs'>,
  options: MigrateOptions,
  dryRun: boolean,
): Promise<void> {
  const client = new pg.Client(clientConfig({ ...connection, timeoutMs: TIMEOUT_MS }))
  client.on('error', () => undefined) // what is asked next fails, and says so
  try {
    await client.connect()
    const statements = dryRun ? await planMigration(client, options) : await migrate(client, options)
    for (const statement of statements) await print(`${statement};`)
    if (statements.length === 0) return void (await print(`nothing to do: ${options.table} is as it should be`))
    await print(
      dryRun ? 'nothing was changed: this is what a migration would run' : `${statements.length} statements, done`,
    )
  } catch (error) {
    if (error instanceof MillraceError) throw error
    throw new Error(`nothing was changed, the migration failed (${messageOf(error)})`, { cause: error })
  } finally {
    await client.end().catch(() => undefined)
  }
}
