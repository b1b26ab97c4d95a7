/** Whether what was measured is what should hold. */
import { figure, MEASURES, withUnit } from '../measures.ts'
import type { Measured, Target } from '../question.ts'
import { ratios, type Summary, summarise } from '../support/statistics.ts'
import { roundsOf } from './results.ts'

export interface Outcome {
  readonly target: Target
  /** Such as `at least 0.9 × node-http`. */
  readonly wanted: string
  /** The median, and what the rounds lie between; undefined when it was not measured. */
  readonly figure?: string
  readonly spread?: string
  readonly held?: boolean
}

/** @param measured undefined when it never was. */
export function outcomeOf(target: Target, measured: Measured | undefined): Outcome {
  const { measure, of, to, bound } = target
  const [words, limit] = 'atLeast' in bound ? ['at least', bound.atLeast] : ['at most', bound.atMost]
  const write = (value: number) => (to === undefined ? withUnit(value, measure) : `${figure(value)} ×`)
  const wanted = `${MEASURES[measure].title} of ${of}: ${words} ${write(limit)}${to === undefined ? '' : ` ${to}`}`
  const series = measured?.series ?? []
  const own = roundsOf(series, of, measure)
  const values = to === undefined ? own : ratios(own, roundsOf(series, to, measure))
  if (values.length === 0) return { target, wanted }
  const summary = summarise(values)
  const held = 'atLeast' in bound ? summary.median >= limit : summary.median <= limit
  return { target, wanted, figure: write(summary.median), spread: spread(summary), held }
}

export function spread({ minimum, maximum }: Summary): string {
  return `${figure(minimum)} … ${figure(maximum)}`
}
