/**
 * Classifies an error of PostgreSQL by its cause. One table, by SQLSTATE (PostgreSQL documentation, appendix A). The
 * longest matching entry counts.
 *
 *     row      the row can never be stored: it becomes a dead letter, alone
 *     raised   by a trigger, a policy or a function, so the cause is unknown: the row is retried alone. It becomes a
 *              dead letter if it fails again, or if other rows of its batch were stored
 *     slow     the statement takes longer than the time limit: use fewer rows in one statement
 *     table    the table has changed: it is inspected again, and all rows wait
 *     server   the server cannot be used now: all rows wait
 */
import pg from 'pg'

export type Trouble = 'row' | 'raised' | 'slow' | 'table' | 'server'

const TROUBLES: Readonly<Record<string, Trouble>> = {
  '08': 'server', // connection exception
  '0A': 'table', // feature not supported: a cached plan from before the table was changed
  '0Z': 'raised', // diagnostics exception
  '20': 'raised', // case not found, in a function
  '21': 'row', // cardinality violation
  '22': 'row', // data exception
  '23': 'row', // integrity constraint violation
  '25': 'server', // invalid transaction state: read only, a standby
  '26': 'table', // invalid statement name: a pooler has another connection
  '27': 'raised', // triggered data change violation
  '28': 'server', // invalid authorization
  '2F': 'raised', // SQL routine exception
  '34': 'server', // invalid cursor name
  '38': 'raised', // external routine exception
  '39': 'raised', // external routine invocation exception
  '3B': 'raised', // savepoint exception
  '3D': 'server', // invalid database name
  '3F': 'table', // invalid schema name
  '40': 'server', // transaction rollback: serialization, deadlock
  '42': 'table', // syntax error or access rule violation
  '44': 'row', // WITH CHECK OPTION violation
  '53': 'server', // insufficient resources
  '54': 'row', // program limit exceeded
  '55': 'server', // object not in prerequisite state: a lock
  '57': 'server', // operator intervention
  '57014': 'slow', // query canceled: mostly by the time limit
  '58': 'server', // system error
  F0: 'server', // configuration file error
  HV: 'raised', // foreign data wrapper error
  P0: 'raised', // PL/pgSQL error, RAISE EXCEPTION
  XX: 'raised', // internal error: an index that is corrupt fails for some rows
}
/** If a function raises one of these for a row, it is not about the connection or the table. */
const ONLY_OUTSIDE_FUNCTIONS = /^(08|0A|25|26|28|3D|3F|42)/
/** Message of a row-level security policy, which has the same SQLSTATE as a missing privilege. */
const ROW_POLICY = /row-level security/i

/** @param error any error of a statement. Without a SQLSTATE, it is about the connection. */
export function troubleOf(error: unknown): Trouble {
  const state = stateOf(error)
  if (state === '') return 'server'
  // A missing partition (the default one was dropped) is a check violation, too, but not the row's fault.
  if (state === '23514' && (error as pg.DatabaseError).constraint === undefined) return 'table'
  if (ONLY_OUTSIDE_FUNCTIONS.test(state) && (error as pg.DatabaseError).where) return 'raised'
  if (state === '42501' && ROW_POLICY.test((error as pg.DatabaseError).message)) return 'raised'
  // A code of an unknown class was invented by a function.
  return TROUBLES[state] ?? TROUBLES[state.slice(0, 2)] ?? 'raised'
}

export function stateOf(error: unknown): string {
  return error instanceof pg.DatabaseError ? (error.code ?? '') : ''
}
