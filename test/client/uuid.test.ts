import { expect, test } from 'vitest'
import { uuidv7 } from '../../app/client/uuid.ts'

const V7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/

test('an id is a UUID of version 7 that begins with the time', () => {
  const nowMs = Date.now() + 1_000_000
  const id = uuidv7(nowMs)
  expect(id).toMatch(V7)
  expect(Number.parseInt(id.replaceAll('-', '').slice(0, 12), 16)).toBe(nowMs)
})

test('100,000 ids of one moment are different and in order, also past the end of the counter', () => {
  const nowMs = Date.now() + 2_000_000
  const ids = Array.from({ length: 100_000 }, () => uuidv7(nowMs))
  expect(new Set(ids).size).toBe(ids.length)
  expect(ids.every((id) => V7.test(id))).toBe(true)
  expect(ids.every((id, at) => at === 0 || id > (ids[at - 1] ?? ''))).toBe(true)
})

test('a clock that steps back makes no id that is lower', () => {
  const nowMs = Date.now() + 3_000_000
  const before = uuidv7(nowMs)
  expect(uuidv7(nowMs - 60_000) > before).toBe(true)
})
