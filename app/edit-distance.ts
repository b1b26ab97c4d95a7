/** How far apart two names are, for those that are misspelt. */

/**
 * Damerau–Levenshtein distance, each place changed once (optimal string alignment): letters added, left out, replaced, and
 * pairs of neighbours swapped that make `a` into `b`. For short names: time and memory grow with the product of lengths.
 */
export function editDistance(a: string, b: string): number {
  let beforeLast: number[] = []
  let last = Array.from({ length: b.length + 1 }, (_, at) => at)
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const isSame = a[i - 1] === b[j - 1]
      const isSwap = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]
      const costs = [at(last, j) + 1, at(row, j - 1) + 1, at(last, j - 1) + (isSame ? 0 : 1)]
      if (isSwap) costs.push(at(beforeLast, j - 2) + 1)
      row.push(Math.min(...costs))
    }
    ;[beforeLast, last] = [last, row]
  }
  return at(last, b.length)
}

function at(row: readonly number[], index: number): number {
  return row[index] as number
}

/**
 * The known name that is nearest, at most `maxDistance` away; undefined where none is.
 * @param maxDistance default: 2.
 */
export function nearestName(name: string, known: readonly string[], maxDistance = 2): string | undefined {
  let nearest: string | undefined
  let least = maxDistance + 1
  for (const candidate of known) {
    if (Math.abs(candidate.length - name.length) >= least) continue
    const distance = editDistance(name, candidate)
    if (distance < least) [nearest, least] = [candidate, distance]
  }
  return nearest
}
