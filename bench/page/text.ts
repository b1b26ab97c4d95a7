/** A result as lines for a terminal. */
import { figure, MEASURES } from '../measures.ts'
import type { Measured } from '../question.ts'
import { summarise } from '../support/statistics.ts'
import type { Outcome } from './outcome.ts'

export function printResult({ series, skipped = [], remarks = [] }: Measured, outcomes: readonly Outcome[]): string[] {
  const names = series.map(({ subject, measure }) => `${subject}: ${MEASURES[measure].title}`)
  const width = Math.max(0, ...names.map(({ length }) => length)) + 2
  return [
    ...series.map(({ measure, rounds }, at) => {
      const { median, minimum, maximum } = summarise(rounds)
      const [shown, low, high] = [median, minimum, maximum].map((value) => figure(value).padStart(11))
      return `  ${(names[at] ?? '').padEnd(width)}${shown}${MEASURES[measure].unit.padEnd(9)}${low} …${high}`
    }),
    ...remarks,
    ...skipped.map(({ subject, reason }) => `  not measured: ${subject}: ${reason}`),
    ...outcomes.map(({ wanted, figure: value, spread, held }) => {
      if (held === undefined) return `  not measured: ${wanted}`
      return `  ${held ? 'held' : 'MISSED'}: ${wanted}: ${value} (${spread})`
    }),
  ]
}
