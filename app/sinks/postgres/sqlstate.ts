/**
 * Whose trouble an error of PostgreSQL is. One table, by SQLSTATE (PostgreSQL documentation, appendix A); the longest entry
 * that matches counts.
 *
 *     row      never will be taken: a dead letter, alone
 *     raised   by a trigger, a policy or a function, of which nobody knows what it is about: the row alone is tried again, and
 *              is a dead letter when it stays so, or when other rows of its batch were taken
 *     slow     the statement takes longer than the time limit: fewer rows at once
 *     table    is not what it was: looked at again, and all rows wait
 *     server   cannot be used now: all rows wait
 */
import pg from 'pg'

export type Trouble = 'row' | 'raised' | 'slow' | 'table' | 'server'

const TROUBLES: Readonly<Record<string, Trouble>> = {
  '08': 'server', // connection exception
  '0A': 'table', // feature not supported: a plan of before the table was changed
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
/** When a function says them of one row, they say nothing of the connection or the table. */
const ONLY_OUTSIDE_FUNCTIONS = /^(08|0A|25|26|28|3D|3F|42)/
/** Of a policy of row-level security, whose SQLSTATE is that of a missing privilege. */
const ROW_POLICY = /row-level security/i

/** @param error anything that a statement failed with; what has no SQLSTATE is about the connection. */
export function troubleOf(error: unknown): Trouble {
  const state = stateOf(error)
  if (state === '') return 'server'
  // A day without a partition, where someone dropped the default one, is a check violation too: but not the row's.
  if (state === '23514' && (error as pg.DatabaseError).constraint === undefined) return 'table'
  if (ONLY_OUTSIDE_FUNCTIONS.test(state) && (error as pg.DatabaseError).where) return 'raised'
  if (state === '42501' && ROW_POLICY.test((error as pg.DatabaseError).message)) return 'raised'
  // One that is in no class was made up by a function.
  return TROUBLES[state] ?? TROUBLES[state.slice(0, 2)] ?? 'raised'
}

export function stateOf(error: unknown): string {
  return error instanceof pg.DatabaseError ? (error.code ?? '') : ''
}
