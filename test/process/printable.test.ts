import fc from 'fast-check'
import { expect, test } from 'vitest'
import { printable, printableLines } from '../../app/process/printable.ts'

/** What a terminal acts on: C0, DEL, C1, and the characters that turn the reading direction. */
const RANGES = [
  [0, 0x1f],
  [0x7f, 0x9f],
  [0x61c, 0x61c],
  [0x200e, 0x200f],
  [0x2028, 0x202e],
  [0x2066, 0x2069],
] as const
const isActedOn = (text: string) =>
  [...text].some((character) =>
    RANGES.some(([from, to]) => (character.codePointAt(0) ?? 0) >= from && (character.codePointAt(0) ?? 0) <= to),
  )
const text = fc.string({
  unit: fc.oneof(
    fc.constantFrom('\u001b[2J', '\u009b31m', '\r', '\n', '\u007f', '\u202e', '\u2066', '\ud800', '\udc00', '\\', '"'),
    fc.string({ unit: 'binary', maxLength: 2 }),
  ),
})

test('property: nothing is left that a terminal would act on, and the rest stays as it was', () => {
  fc.assert(
    fc.property(text, (text) => {
      const shown = printable(text)
      expect(isActedOn(shown)).toBe(false)
      expect(shown.isWellFormed()).toBe(true)
      if (!isActedOn(text) && text.isWellFormed()) expect(shown).toBe(text)
      expect(printableLines(text).split('\n').map(printable).join('\\n')).toBe(shown)
    }),
    { numRuns: 2000 },
  )
})

test('property: JSON stays the same JSON', () => {
  fc.assert(
    fc.property(text, (text) => {
      expect(JSON.parse(printable(JSON.stringify({ text })))).toEqual({ text })
    }),
  )
})
