/** What a run has measured, as files that the page is rendered from: bench/results/<question>.json. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Measured, Question, Series } from '../question.ts'
import type { Machine } from '../support/machine.ts'

export interface Result extends Measured {
  /** RFC 3339. */
  readonly measuredAt: string
  readonly rounds: number
  readonly seconds: number
  readonly machine: Machine
}

/** Question → its result; those never measured are not there. */
export type Results = ReadonlyMap<string, Result>

const DIRECTORY = join(import.meta.dirname, '../results')
const DIGITS = 5

export function readResults(questions: readonly Question[]): Results {
  const found = questions.flatMap(({ name }) => {
    const path = pathOf(name)
    return existsSync(path) ? [[name, JSON.parse(readFileSync(path, 'utf8')) as Result] as const] : []
  })
  return new Map(found)
}

/** To the digits that are kept: what a run says, and what is read of it later, must not differ. */
export function rounded(result: Result): Result {
  return JSON.parse(JSON.stringify(result, round))
}

export function writeResult(name: string, result: Result): void {
  mkdirSync(DIRECTORY, { recursive: true })
  const text = JSON.stringify(result, undefined, 2)
  // A series is one line: so a change is readable.
  writeFileSync(pathOf(name), `${text.replace(/\[[\s\d.,e+-]+\]/g, (list) => list.replace(/\s+/g, ' '))}\n`)
}

export function roundsOf(series: readonly Series[], subject: string, measure: Series['measure']): readonly number[] {
  return series.find((one) => one.subject === subject && one.measure === measure)?.rounds ?? []
}

function round(_: string, value: unknown): unknown {
  return typeof value === 'number' ? Number(value.toPrecision(DIGITS)) : value
}

function pathOf(name: string): string {
  return join(DIRECTORY, `${name}.json`)
}
