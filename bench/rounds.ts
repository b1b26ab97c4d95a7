/** Runs several cases in turn, A B C A B C …, so that a machine whose speed drifts drifts for all of them. */

/** Lines to print; a smoke run is short and only shows that it works. */
export type Question = (smoke: boolean) => Promise<string[]>

/** Does its work for about `operations` operations; returns how many it did. */
export type Case = (operations: number) => Promise<number>

export interface Measured {
  readonly name: string
  /** Operations a second. */
  readonly median: number
  readonly minimum: number
  readonly maximum: number
}

export async function measure(
  cases: Readonly<Record<string, Case>>,
  rounds: number,
  operations: number,
): Promise<Measured[]> {
  const rates = new Map(Object.keys(cases).map((name) => [name, [] as number[]]))
  // The first round compiles and is not counted.
  for (let round = 0; round <= rounds; round++) {
    process.stderr.write(`  round ${round} of ${rounds}\r`)
    for (const [name, run] of Object.entries(cases)) {
      const startedAt = performance.now()
      const done = await run(operations)
      const rate = done / ((performance.now() - startedAt) / 1000)
      if (round > 0) rates.get(name)?.push(rate)
    }
  }
  process.stderr.write(`${' '.repeat(30)}\r`)
  return [...rates].map(([name, all]) => {
    const sorted = all.toSorted((a, b) => a - b)
    const at = (share: number) => sorted[Math.floor(share * (sorted.length - 1))] ?? Number.NaN
    return { name, median: at(0.5), minimum: at(0), maximum: at(1) }
  })
}
