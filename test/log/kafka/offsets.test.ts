import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Offsets } from '../../../app/log/kafka/offsets.ts'

const at = (offset: number, partition = 0, deadLettered = 0, damaged = 0) => ({
  partition,
  offset,
  deadLettered,
  damaged,
})

test('what was committed is settled, by what became of it; the rest is lag', () => {
  const offsets = new Offsets()
  offsets.add(0, 100)
  offsets.reached(0, 150)
  expect(offsets.lagEvents).toBe(50)
  offsets.commit([at(120, 0, 3, 2)])
  expect([offsets.settled, offsets.lagEvents]).toEqual([{ delivered: 15, deadLettered: 3, damaged: 2 }, 30])
})

test('what the brokers deleted before it was read counts as damaged once it is passed', () => {
  const offsets = new Offsets()
  offsets.add(0, 0)
  offsets.skip(0, 10, 40)
  offsets.commit([at(10)])
  expect(offsets.settled).toEqual({ delivered: 10, deadLettered: 0, damaged: 0 })
  offsets.commit([at(45)])
  expect(offsets.settled).toEqual({ delivered: 15, deadLettered: 0, damaged: 30 })
})

test("a partition that is another process's now is neither committed nor counted", () => {
  const offsets = new Offsets()
  offsets.add(0, 0)
  offsets.add(1, 0)
  offsets.remove(1)
  expect(offsets.ahead([at(5), at(5, 1)])).toEqual([at(5)])
  offsets.commit([at(5), at(5, 1)])
  expect(offsets.settled.delivered).toBe(5)
})

test('property: commits in any order count every event once', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(2), fc.nat(100))), (commits) => {
      const offsets = new Offsets()
      for (const partition of [0, 1, 2]) offsets.add(partition, 0)
      for (const [partition, offset] of commits) offsets.commit([at(offset, partition)])
      const highest = [0, 1, 2].map((partition) =>
        Math.max(0, ...commits.flatMap(([p, o]) => (p === partition ? [o] : []))),
      )
      expect([0, 1, 2].map((partition) => offsets.committed(partition))).toEqual(highest)
      expect(offsets.settled.delivered).toBe(highest.reduce((sum, offset) => sum + offset, 0))
    }),
  )
})
