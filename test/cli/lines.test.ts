import fc from 'fast-check'
import { expect, test } from 'vitest'
import { lines, MAX_EVENT_BYTES } from '../../app/cli/lines.ts'
import { chunked } from '../support/chunked.ts'

test('property: however the bytes come, the lines are those between line feeds, with their numbers', async () => {
  const text = fc.string({ unit: fc.constantFrom('a', 'é', '😀', '\n', '\r\n', ' ', '\u2028', '\u2029', '\v') })
  const lengths = fc.array(fc.integer({ min: 0, max: 9 }))
  await fc.assert(
    fc.asyncProperty(text, lengths, async (text, lengths) => {
      const expected = text
        .split('\n')
        .map((line, at) => ({ line: at + 1, text: line.replace(/[ \t\r]+$/, '') }))
        .filter(({ text }) => text !== '')
      const found: object[] = []
      for await (const { line, bytes } of lines(chunked(Buffer.from(text), lengths)))
        found.push({ line, text: bytes?.toString() })
      expect(found).toEqual(expected)
    }),
    { numRuns: 1000 },
  )
})

test('a byte order mark before a line is none of it, wherever files were put together', async () => {
  const found: string[] = []
  for await (const { bytes } of lines(chunked(Buffer.from('\ufeff{"a":1}\n\ufeff{"b":"\ufeff"}\n\ufeff\n'), [])))
    found.push(String(bytes))
  expect(found).toEqual(['{"a":1}', '{"b":"\ufeff"}'])
})

test('a line longer than any event is read past, not held', async () => {
  const input = async function* () {
    yield Buffer.from('{"a":1}\n{"b":"')
    for (let at = 0; at <= MAX_EVENT_BYTES; at += 2 ** 20) yield Buffer.alloc(2 ** 20, 'x')
    yield Buffer.from('"}\n{"c":1}')
  }
  const found = []
  for await (const { line, bytes, problem } of lines(input())) found.push([line, bytes?.toString() ?? problem])
  expect(found).toEqual([
    [1, '{"a":1}'],
    [2, expect.stringMatching(/^an event of \d+ bytes, and no Millrace takes more than 67108864$/)],
    [3, '{"c":1}'],
  ])
})
