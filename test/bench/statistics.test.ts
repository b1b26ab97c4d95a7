import fc from 'fast-check'
import { expect, test } from 'vitest'
import { interleave, median, quantile, ratios, slope, summarise } from '../../bench/support/statistics.ts'

const figures = fc.array(fc.integer({ min: -1000, max: 1000 }), { minLength: 1, maxLength: 50 })

test('the median is the middle one, or between the middle two, in any order', () => {
  expect(median([3, 1, 2])).toBe(2)
  expect(median([4, 1, 3, 2])).toBe(2.5)
  expect(median([7])).toBe(7)
  expect(median([])).toBeNaN()
  fc.assert(fc.property(figures, (values) => median(values.toReversed()) === median(values)))
})

test('a quantile is a measured value, and the smallest that this share of all does not exceed', () => {
  const hundred = Float64Array.from({ length: 100 }, (_, at) => at + 1)
  expect(quantile(hundred, 0.5)).toBe(50)
  expect(quantile(hundred, 0.99)).toBe(99)
  expect(quantile(hundred, 1)).toBe(100)
  expect(quantile(hundred, 0)).toBe(1)
  expect(quantile([], 0.5)).toBeNaN()
  fc.assert(
    fc.property(figures, fc.double({ min: 0.001, max: 1, noNaN: true }), (values, share) => {
      const sorted = values.toSorted((a, b) => a - b)
      const found = quantile(sorted, share)
      expect(values).toContain(found)
      expect(sorted.filter((value) => value <= found).length).toBeGreaterThanOrEqual(share * values.length - 1e-9)
      expect(sorted.filter((value) => value < found).length).toBeLessThan(share * values.length + 1e-9)
    }),
  )
})

test('a summary of nothing is not a number, so that nothing looks measured that is not', () => {
  expect(summarise([])).toEqual({ median: Number.NaN, minimum: Number.NaN, maximum: Number.NaN })
  expect(summarise([5, 1, 9])).toEqual({ median: 5, minimum: 1, maximum: 9 })
})

test('ratios are of the same round: a machine that is half as fast in one changes none', () => {
  expect(ratios([100, 50, 100], [200, 100, 200])).toEqual([0.5, 0.5, 0.5])
  expect(ratios([1, 2, 3], [1])).toEqual([1])
  expect(ratios([1], [])).toEqual([])
})

test('each case is there once a round, each round is begun by another one, and the rest keeps its order', () => {
  const order = (rounds: number) => interleave(['A', 'B', 'C'], rounds).map(({ round, item }) => `${item}${round}`)
  expect(order(3)).toEqual(['A0', 'B0', 'C0', 'B1', 'C1', 'A1', 'C2', 'A2', 'B2'])
  expect(interleave([], 3)).toEqual([])
  expect(interleave(['A'], 2).map(({ item }) => item)).toEqual(['A', 'A'])
})

test('a slope is the one of the line, and single outliers do not move it', () => {
  const line = Array.from({ length: 20 }, (_, at) => [at, 100 + 3 * at] as const)
  expect(slope(line)).toBeCloseTo(3)
  expect(slope(line.map(([x, y], at) => [x, at === 7 ? y + 1000 : y] as const))).toBeCloseTo(3)
})
