/** Edit distance, to suggest a name for a misspelt one. */

/**
 * Damerau–Levenshtein distance with each position changed at most once (optimal string alignment). It is the number of
 * letters to insert, delete or replace, and of neighbours to swap, to change `a` into `b`. Use it for short names: time
 * and memory grow with the product of their lengths.
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
 * The nearest known name within `maxDistance`; undefined if there is none.
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
