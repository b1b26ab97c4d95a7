import fc from 'fast-check'
import { expect, test } from 'vitest'
import { editDistance, nearestName } from '../app/edit-distance.ts'

test.each([
  ['', '', 0],
  ['', 'abc', 3],
  ['KAFKA_BROKER', 'KAFKA_BROKERS', 1],
  ['S3_SINK_BUCKT', 'S3_SINK_BUCKET', 1],
  ['KAKFA_TOPIC', 'KAFKA_TOPIC', 1],
  ['HANDLRES', 'HANDLERS', 1],
  ['ca', 'abc', 3],
  ['kitten', 'sitting', 3],
])('from %j to %j: %d', (a, b, distance) => {
  expect(editDistance(a, b)).toBe(distance)
  expect(editDistance(b, a)).toBe(distance)
})

test('property: nothing away from itself, no more than its longer text, and one letter more is one more at most', () => {
  const name = fc.string({ maxLength: 12 })
  fc.assert(
    fc.property(name, name, fc.string({ minLength: 1, maxLength: 1 }), (a, b, letter) => {
      expect(editDistance(a, a)).toBe(0)
      const distance = editDistance(a, b)
      expect(distance).toBeLessThanOrEqual(Math.max(a.length, b.length))
      expect(Math.abs(editDistance(a + letter, b) - distance)).toBeLessThanOrEqual(1)
    }),
  )
})

test('the nearest name is the one that is fewest letters away, and none that is further than that', () => {
  expect(nearestName('handlres', ['handlers', 'sinks'])).toBe('handlers')
  expect(nearestName('ab', ['abcd', 'abc'])).toBe('abc')
  expect(nearestName('pipelines', ['handlers', 'sinks', 'routes'])).toBeUndefined()
})
