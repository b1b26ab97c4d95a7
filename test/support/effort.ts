/**
 * How much a property tries: a number of programs where somebody waits for it, a time where a machine does
 * (MILLRACE_PROGRAM_SECONDS, set by `npm run test:faults`). The seed is another one in each run; MILLRACE_SEED repeats one.
 */
import { randomInt } from 'node:crypto'
import { readFileSync } from 'node:fs'

const { MILLRACE_PROGRAM_SECONDS, MILLRACE_PROGRAMS, MILLRACE_SEED } = process.env
const MANY = 100_000_000

export interface Effort {
  readonly numRuns: number
  readonly seed: number
  readonly interruptAfterTimeLimit?: number
  /** What was tried by then counts. */
  readonly markInterruptAsFailure?: false
}

/**
 * For `fc.assert`.
 * @param programs without a time of their own. MILLRACE_PROGRAMS has the last word.
 * @param share of MILLRACE_PROGRAM_SECONDS.
 */
export function effort(programs: number, share = 1): Effort {
  const seed = MILLRACE_SEED === undefined ? randomInt(2 ** 31) : Number(MILLRACE_SEED)
  if (MILLRACE_PROGRAMS !== undefined) return { numRuns: Number(MILLRACE_PROGRAMS), seed }
  if (MILLRACE_PROGRAM_SECONDS === undefined) return { numRuns: programs, seed }
  const interruptAfterTimeLimit = Number(MILLRACE_PROGRAM_SECONDS) * share * 1000
  return { numRuns: MANY, seed, interruptAfterTimeLimit, markInterruptAsFailure: false }
}

/** Programs that failed once, each with what was wrong then: they are tried first, in every run. */
export function corpus<T>(url: URL): T[] {
  const entries: { readonly why: string; readonly program: T }[] = JSON.parse(readFileSync(url, 'utf8'))
  return entries.map(({ program }) => program)
}
