/** Cases of one process that take turns, so that a machine whose speed drifts drifts for all of them. */
import { progress } from './progress.ts'
import { interleave } from './statistics.ts'

/** Does its work for about `operations` operations; returns how many it did. */
export type Case = (operations: number) => Promise<number>

/** @returns for each case its operations a second, one figure a round. */
export async function takeTurns(
  cases: Readonly<Record<string, Case>>,
  rounds: number,
  operations: number,
): Promise<ReadonlyMap<string, readonly number[]>> {
  const names = Object.keys(cases)
  const rates = new Map(names.map((name) => [name, [] as number[]]))
  // The first round compiles and is not counted.
  for (const { round, item: name } of interleave(names, rounds + 1)) {
    progress(`round ${round} of ${rounds}: ${name}`)
    const startedAt = performance.now()
    const done = (await cases[name]?.(operations)) ?? Number.NaN
    const rate = done / ((performance.now() - startedAt) / 1000)
    if (round > 0) rates.get(name)?.push(rate)
  }
  return rates
}
