/** JSON as others may write it, which JSON.stringify does not: any white space, numbers, escapes, names twice. */
import fc from 'fast-check'

export const whiteSpace = fc.stringMatching(/^[ \t\r]{0,3}$/)
const number = fc.stringMatching(/^-?(?:0|[1-9]\d{0,39})(?:\.\d{1,20})?(?:[eE][+-]?\d{1,4})?$/)
const character = fc.oneof(
  { weight: 6, arbitrary: fc.stringMatching(/^[ !#-[\]-~]$/) },
  fc.constantFrom(
    '\\"',
    '\\\\',
    '\\/',
    '\\b',
    '\\f',
    '\\n',
    '\\r',
    '\\t',
    '\\u0000',
    '\\ud83d\\ude00',
    '\\uD800',
    '\x7f',
  ),
  fc.string({ unit: 'grapheme', minLength: 1, maxLength: 1 }).map((text) => JSON.stringify(text).slice(1, -1)),
)
const text = fc.array(character, { maxLength: 40 }).map((parts) => `"${parts.join('')}"`)

/** @param names that are to come often. */
export function jsonTexts(names: readonly string[]): { name: fc.Arbitrary<string>; json: fc.Arbitrary<string> } {
  const name = fc.oneof(fc.constantFrom(...names.map((known) => `"${known}"`), '"i\\u0064"', '""'), text)
  const { json } = fc.letrec<{ json: string }>((tie) => {
    const spaced = (inner: fc.Arbitrary<string>) =>
      fc.tuple(whiteSpace, inner, whiteSpace).map(([before, value, behind]) => `${before}${value}${behind}`)
    return {
      json: fc.oneof(
        { maxDepth: 12, depthSize: 'small' },
        fc.oneof(fc.constantFrom('true', 'false', 'null'), number, text),
        fc.array(spaced(tie('json')), { maxLength: 5 }).map((values) => `[${values.join(',')}]`),
        fc
          .array(fc.tuple(spaced(name), spaced(tie('json'))), { maxLength: 6 })
          .map((members) => `{${members.map(([key, value]) => `${key}:${value}`).join(',')}}`),
      ),
    }
  })
  return { name, json }
}
