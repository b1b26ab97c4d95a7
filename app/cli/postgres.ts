/** `millrace postgres migrate`: creates the table of the postgres sink, or its next partitions. */
import pg from 'pg'
import { MillraceError, messageOf } from '../errors.ts'
import { type ConnectionOptions, clientConfig } from '../sinks/postgres/connection.ts'
import { type MigrateOptions, migrate, planMigration } from '../sinks/postgres/table.ts'
import { print } from './output.ts'

/** Longer than the timeout of the sink, because another migration may be running. */
const TIMEOUT_MS = 10 * 60 * 1000

/** @param dryRun only prints the statements. */
export async function migratePostgres(
  connection: Omit<ConnectionOptions, 'timeoutMs'>,
  options: MigrateOptions,
  dryRun: boolean,
): Promise<void> {
  const client = new pg.Client(clientConfig({ ...connection, timeoutMs: TIMEOUT_MS }))
  client.on('error', () => undefined) // the next statement fails and reports it
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
