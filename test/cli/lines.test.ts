import fc from 'fast-check'
import { expect, test } from 'vitest'
import { lines } from '../../app/cli/lines.ts'

async function* inChunks(bytes: Buffer, lengths: readonly number[]): AsyncGenerator<Buffer> {
  let from = 0
  for (const length of lengths) {
    yield bytes.subarray(from, from + length)
    from += length
  }
  yield bytes.subarray(from)
}

test('property: however the bytes come, the lines are those between line feeds', async () => {
  const text = fc.string({ unit: fc.constantFrom('a', 'é', '😀', '\n', '\r\n', '\u2028', '\u2029', '\v') })
  const lengths = fc.array(fc.integer({ min: 0, max: 9 }))
  await fc.assert(
    fc.asyncProperty(text, lengths, async (text, lengths) => {
      const expected = text.split('\n').map((line) => line.replace(/\r$/, ''))
      if (text === '' || text.endsWith('\n')) expected.pop()
      const found: string[] = []
      for await (const line of lines(inChunks(Buffer.from(text), lengths))) found.push(line)
      expect(found).toEqual(expected)
    }),
    { numRuns: 1000 },
  )
})
