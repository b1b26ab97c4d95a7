import fc from 'fast-check'
import { expect, test } from 'vitest'
import { isAllowed, parseScope } from '../../app/http/scope.ts'

test('words become patterns of types and of sources', () => {
  const words = ['type=order.*', 'source=/shop/*', 'type=cart=full']
  expect(parseScope(words)).toEqual({ types: ['order.*', 'cart=full'], sources: ['/shop/*'] })
  expect(parseScope([])).toEqual({ types: [], sources: [] })
})

test.each([['type='], ['subject=x'], ['types=x'], ['type'], ['Type=x'], ['type=é'], [`type=${'x'.repeat(1025)}`]])(
  'the word %s is none',
  (word) => {
    expect(parseScope(['type=a', word])).toBeUndefined()
  },
)

test('at most 100 words', () => {
  expect(parseScope(new Array(100).fill('type=a'))?.types).toHaveLength(100)
  expect(parseScope(new Array(101).fill('type=a'))).toBeUndefined()
})

test.each([
  ['order.created', 'order.created', true],
  ['order.created', 'order.createdx', false],
  ['order.created', 'Order.created', false],
  ['order.*', 'order.', true],
  ['order.*', 'orderx', false],
  ['*.created', 'order.created', true],
  ['a*a', 'a', false],
  ['a*a', 'aa', true],
  ['*', '', true],
  ['**', 'x', true],
  ['a.c', 'abc', false],
  ['/shop/*', '/shop/../bank', true],
  ['*b*', 'a\nb', true],
])('%j of %j: %s', (pattern, text, expected) => {
  expect(isAllowed([pattern], text)).toBe(expected)
})

test('no patterns allow all, and one of several is enough', () => {
  expect(isAllowed([], 'x')).toBe(true)
  expect(isAllowed(['a', 'x'], 'x')).toBe(true)
  expect(isAllowed(['a', 'b'], 'x')).toBe(false)
})

test('property: it says what a regular expression says', () => {
  const text = (unit: string) => fc.string({ unit: fc.constantFrom(...unit), maxLength: 12 })
  fc.assert(
    fc.property(text('ab.*'), text('ab.'), (pattern, given) => {
      const parts = pattern.split('*').map((part) => part.replaceAll('.', '\\.'))
      expect(isAllowed([pattern], given)).toBe(new RegExp(`^${parts.join('.*')}$`, 's').test(given))
    }),
    { numRuns: 2000 },
  )
})

test('a pattern with many stars takes no longer than its length', () => {
  const startedAt = performance.now()
  for (let round = 0; round < 100; round++) expect(isAllowed([`${'*a'.repeat(500)}b`], 'a'.repeat(1024))).toBe(false)
  expect(performance.now() - startedAt).toBeLessThan(2000)
})
