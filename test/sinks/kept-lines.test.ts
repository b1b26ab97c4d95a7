import fc from 'fast-check'
import { expect, test } from 'vitest'
import { KeptLines } from '../../app/sinks/kept-lines.ts'

test('property: what is kept is what was added since it was cleared, whatever becomes of the lines', () => {
  const kept = new KeptLines()
  const line = fc.oneof(fc.integer({ min: 0, max: 200 }), fc.integer({ min: 0, max: 3_000_000 }))
  fc.assert(
    fc.property(fc.array(fc.array(line, { maxLength: 4 }), { maxLength: 4 }), (additions) => {
      kept.clear()
      const expected: Buffer[] = []
      for (const [at, lengths] of additions.entries()) {
        const lines = lengths.map((length, index) => Buffer.alloc(length, at * 16 + index + 1))
        expected.push(...lines.map((line) => Buffer.from(line)))
        kept.add(lines)
        for (const line of lines) line.fill(0)
      }
      const all = Buffer.concat(expected)
      expect(kept.bytes).toBe(all.length)
      expect(Buffer.concat(kept.parts).equals(all)).toBe(true)
    }),
    { numRuns: 50 },
  )
})
