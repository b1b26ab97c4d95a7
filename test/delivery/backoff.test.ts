import fc from 'fast-check'
import { expect, test } from 'vitest'
import { backoffMs } from '../../app/delivery/backoff.ts'

const retry = { baseMs: 100, maxMs: 5000, maxAttempts: 10 }

test('property: never over the doubling bound nor the limit, never negative, however many attempts', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 10_000 }),
      fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
      (attempt, random) => {
        const waitMs = backoffMs(attempt, retry, () => random)
        expect(waitMs).toBeGreaterThanOrEqual(0)
        expect(waitMs).toBeLessThanOrEqual(Math.min(retry.maxMs, retry.baseMs * 2 ** (attempt - 1)))
      },
    ),
  )
})

test('full jitter: from nothing to the whole bound', () => {
  expect([backoffMs(3, retry, () => 0), backoffMs(3, retry, () => 0.5), backoffMs(20, retry, () => 0.999)]).toEqual([
    0, 200, 4995,
  ])
})
