import { expect, test } from 'vitest'
import { backoffMs, MAX_RETRY_AFTER_MS, pause, retryAfterMs } from '../../app/client/retry.ts'
import { backoffMs as deliveryBackoffMs } from '../../app/delivery/backoff.ts'

test('waits are those of delivery: anywhere below a bound that doubles', () => {
  const policy = { baseMs: 200, maxMs: 30_000 }
  for (let attempt = 1; attempt < 60; attempt++) {
    for (const random of [0, 0.25, 0.999]) {
      const expected = deliveryBackoffMs(attempt, { ...policy, maxAttempts: 1 }, () => random)
      expect(backoffMs(attempt, policy, () => random)).toBe(expected)
    }
  }
})

const NOW_MS = Date.parse('2026-01-31T12:00:00Z')
test.each([
  ['7', 7000],
  ['0', 0],
  ['Sat, 31 Jan 2026 12:00:09 GMT', 9000],
  ['Sat, 31 Jan 2026 11:00:00 GMT', 0],
  ['86400', MAX_RETRY_AFTER_MS],
  ['Sun, 31 Jan 2027 12:00:00 GMT', MAX_RETRY_AFTER_MS],
  ['soon', 0],
  [null, 0],
])('Retry-After %s is a wait of %d ms', (header, waitMs) => {
  expect(retryAfterMs(header, NOW_MS)).toBe(waitMs)
})

test('a wait ends with any of its signals, and at once when one is over already', async () => {
  const [first, second] = [new AbortController(), new AbortController()]
  const startedAt = performance.now()
  setTimeout(() => second.abort(), 10)
  await pause(60_000, first.signal, second.signal)
  await pause(60_000, first.signal, second.signal)
  expect(performance.now() - startedAt).toBeLessThan(10_000)
})
