import fc from 'fast-check'
import { expect, test } from 'vitest'
import { exactText } from '../../app/delivery/exact.ts'
import { jsonTexts } from '../support/json-texts.ts'

const { json } = jsonTexts(['id', 'a'])
const written = (data: unknown, given: string) => exactText(data, Buffer.from(given))?.toString()

test('property: data that is equal to what was given keeps its bytes, copied or not', () => {
  fc.assert(
    fc.property(json, (given) => {
      const data = JSON.parse(given)
      expect(written(data, given)).toBe(given)
      expect(written(structuredClone(data), given)).toBe(given)
    }),
  )
})

test.each([
  ['{"id":9007199254740993,"n":1}', { n: 2 }, '{"id":9007199254740993,"n":2}'],
  ['{"a":[1.0,{"b":-0}],"n":1e400}', { new: true }, '{"a":[1.0,{"b":-0}],"n":1e400,"new":true}'],
  ['{"a":"\\u0041","b":1.50}', { a: 'B' }, '{"a":"B","b":1.50}'],
])('of %s, with %j, only that is changed', (given, change, expected) => {
  expect(written({ ...JSON.parse(given), ...change }, given)).toBe(expected)
})

test('a number that was changed is written as it is now, also where it was exact before', () => {
  const given = '{"id":9007199254740993,"list":[1.0,2.0]}'
  const data = JSON.parse(given)
  expect(written({ ...data, id: data.id + 2 }, given)).toBe('{"id":9007199254740994,"list":[1.0,2.0]}')
  expect(written({ ...data, list: [2, 1] }, given)).toBe('{"id":9007199254740993,"list":[2,1]}')
})

test('what writes itself is asked, and what JSON cannot hold is an error', () => {
  expect(written({ at: new Date(0), n: 1 }, '{"at":1.0,"n":1.0}')).toBe('{"at":"1970-01-01T00:00:00.000Z","n":1.0}')
  expect(() => written({ n: 1n }, '{"n":1}')).toThrow(/BigInt/)
  expect(written(undefined, '1')).toBeUndefined()
  expect(exactText({ n: 1 }, undefined)?.toString()).toBe('{"n":1}')
})
