/** Variables of the postgres sink. */
import { choice, integer, invalid, SECOND_MS, text, type ValuesOf } from '../../variable.ts'

export const POSTGRES_VARIABLES = {
  POSTGRES_SINK_URL: text(
    '',
    'Database of the postgres sink, `postgres://user@host:5432/database`; required when `SINKS` has `postgres`.',
  ),
  POSTGRES_SINK_PASSWORD: text('', 'Password of that user, instead of a password in the URL.'),
  POSTGRES_SINK_TLS: choice(
    ['auto', 'verify', 'off'],
    'auto',
    'TLS to the database. `verify`: check its certificate; `off`; `auto`: `off` if it is on this machine, else `verify`.',
  ),
  POSTGRES_SINK_CA_FILE: text('', 'PEM file of the certificates to trust; empty: the certificates that Node trusts.'),
  POSTGRES_SINK_TABLE: text('events', 'Table, or `schema.table`; `npx millrace postgres migrate` creates it.'),
  POSTGRES_SINK_CONCURRENCY: integer(
    1,
    64,
    4,
    'Concurrent statements of the postgres sink, each on its own connection.',
  ),
  POSTGRES_SINK_TIMEOUT_MS: integer(
    100,
    10 * 60 * SECOND_MS,
    10 * SECOND_MS,
    'Timeout to connect to the database, and of one statement.',
  ),
}

export function checkPostgres({
  POSTGRES_SINK_URL: url,
  POSTGRES_SINK_TABLE: table,
}: ValuesOf<typeof POSTGRES_VARIABLES>): void {
  // Never show the URL: it may hold a password.
  if (!/^postgres(ql)?:$/.test(URL.parse(url)?.protocol ?? '')) {
    throw invalid('POSTGRES_SINK_URL', 'the postgres sink needs it: postgres://user@host:5432/database')
  }
  // Names that need no quotes. Names of partitions must still fit into PostgreSQL's 63 characters.
  if (!/^[a-z_][a-z0-9_]{0,50}(\.[a-z_][a-z0-9_]{0,50})?$/.test(table)) {
    throw invalid('POSTGRES_SINK_TABLE', `${JSON.stringify(table)} is not a table: use up to 51 of a-z, 0-9 and _`)
  }
}
