import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { MAX_ATTRIBUTE_LENGTH, MAX_DEPTH, TOO_DEEP, validate } from '../../app/event.ts'
import { faultOf } from '../support/events.ts'

const COMPLETE = '"specversion":"1.0","id":"a","source":"/shop","type":"order"'

/** Attributes as they should be, nearly, or not at all. */
const value = fc.oneof(
  fc.constantFrom(
    ...['""', '"/shop"', '"urn:a:b"', '"a b"', '"1.0"', '"1.1"', '"2026-01-31T12:00:00Z"', '"2026-02-31T12:00:00Z"'],
    ...['null', 'true', 'false', '0', '-0', '7', '1.0', '1e3', '1.5', '2147483647', '2147483648', '-2147483648', '{}'],
    ...[
      '"aGk="',
      '"aGk"',
      '"\\u0041"',
      '"\\u0000"',
      '"\\ud800"',
      '"é"',
      '"\x7f"',
      '"\\uffff"',
      '"http://[::1]/"',
      '[]',
    ],
    ...[`"${'x'.repeat(MAX_ATTRIBUTE_LENGTH)}"`, `"${'x'.repeat(MAX_ATTRIBUTE_LENGTH + 1)}"`, '123456789012345678'],
  ),
  fc.string().map((text) => JSON.stringify(text)),
  fc.jsonValue({ maxDepth: 1 }).map((any) => JSON.stringify(any)),
)
const name = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.constantFrom(
      ...'specversion id source type subject time datacontenttype dataschema data data_base64 traceparent'.split(' '),
    ),
  },
  fc.constantFrom('ext', 'Ext', 'a', 'x'.repeat(64), 'x'.repeat(65), '__proto__', 'i\\u0064', 'e-x', '', 'é'),
)
const event = fc
  .tuple(fc.array(fc.tuple(name, value), { maxLength: 6 }), fc.boolean(), fc.constantFrom('', ' '))
  .map(([members, isComplete, space]) => {
    const own = members.map(([key, text]) => `"${key}"${space}:${space}${text}`)
    return `{${[...(isComplete ? COMPLETE.split(',') : []), ...own].join(`${space},`)}}`
  })

const ESCAPED_ID = 'the name "id" is written with escapes: write its letters'

function namesOf(text: string): string[] {
  return [...text.matchAll(/[{,] ?"((?:[^"\\]|\\.)*)" ?:/g)].map(([, raw]) => JSON.parse(`"${raw}"`))
}

test('property: bytes are judged as their values are', () => {
  let accepted = 0
  fc.assert(
    fc.property(event, fc.constantFrom('strict' as const, 'lenient' as const), (text, strictness) => {
      const names = namesOf(text)
      fc.pre(new Set(names).size === names.length)
      const parsed = JSON.parse(text)
      // A number of any length is an id: it stays its digits.
      if (/^-?[1-9]\d*$/.test(/"i(?:d|\\u0064)" ?: ?([\d-]+)[ ,}]/.exec(text)?.[1] ?? '')) parsed.id = 0
      const fault = faultOf(text, strictness)
      const isEscaped = /"i\\u0064" ?:/.test(text)
      expect(fault).toBe(validate(parsed, strictness) ?? (isEscaped ? ESCAPED_ID : undefined))
      if (fault === undefined) accepted += 1
    }),
    { numRuns: 5000 },
  )
  expect(accepted).toBeGreaterThan(500)
})

test('property: a name twice is refused, however it is written', () => {
  const members = fc.array(
    fc.tuple(fc.constantFrom('id', 'i\\u0064', 'ext', '\\u0065xt', 'ext2', 'data'), fc.constantFrom('"a"', '1')),
    {
      maxLength: 12,
    },
  )
  fc.assert(
    fc.property(members, (list) => {
      const text = `{"subject":"s",${list.map(([key, raw]) => `"${key}":${raw},`).join('')}"type":"t"}`
      const names = list.map(([key]) => JSON.parse(`"${key}"`) as string)
      const isTwice = new Set(names).size < names.length
      if (isTwice) expect(faultOf(text)).toMatch(/ is there twice: send it once$/)
      else expect(faultOf(text) ?? '').not.toMatch(/twice/)
    }),
    { numRuns: 1000 },
  )
})

test.each([
  ['specversion', '"specv\\u0065rsion":"1.0","data":1'],
  ['id', '"\\u0069d":"a","data":1'],
  ['source', '"sourc\\u0065":"/s","data":1'],
  ['type', '"\\u0074ype":"t","data":1'],
  ['subject', '"subj\\u0065ct":"s","data":1'],
  ['time', '"tim\\u0065":"2026-01-31T12:00:00Z","data":1'],
  ['data', '"d\\u0061ta":1'],
  ['data_base64', '"d\\u0061ta_base64":"aGk="'],
  ['authid', '"\\u0061uthid":"me","data":1'],
])(
  'an attribute %s whose name is written with escapes is refused: it would be filled in beside it',
  (name, members) => {
    const rest = name === 'specversion' ? COMPLETE.replace('"specversion":"1.0",', '') : ''
    const event = `{${rest}${rest && ','}${members}}`
    expect(faultOf(event), event).toBe(`the name "${name}" is written with escapes: write its letters`)
  },
)

test('an extension whose name is written with escapes is taken', () => {
  expect(faultOf('{"data":1,"\\u0065xt":"x"}')).toBeUndefined()
})

describe('names twice', () => {
  test('within data are not ours to judge', () => {
    expect(faultOf('{"data":{"a":1,"a":2}}')).toBeUndefined()
  })

  test.each([7, 8, 9, 40])('are found among %i extensions', (count) => {
    const names = Array.from({ length: count }, (_, at) => `"e${at}":"x"`)
    expect(faultOf(`{"data":1,${names.join()}}`)).toBeUndefined()
    expect(faultOf(`{"data":1,${[...names, names[3]].join()}}`)).toBe('"e3" is there twice: send it once')
  })
})

test('an id can be a number of any length, and stays its digits', () => {
  for (const id of ['0', '-5', '9007199254740993', '-12345678901234567890123', '1e3', '1.0']) {
    expect(faultOf(`{"id":${id},"data":1}`), id).toBeUndefined()
    expect(faultOf(`{${COMPLETE.replace('"a"', id)}}`), id).toBe('id must be a string in a CloudEvent')
  }
  for (const id of ['1.5', '1e400', '1e-3', '9'.repeat(MAX_ATTRIBUTE_LENGTH + 1), 'true', '[]']) {
    expect(faultOf(`{"id":${id},"data":1}`), id).toMatch(/^id must be a string/)
  }
})

test('an event with more attributes than are looked at is refused', () => {
  const many = (count: number) => `{"data":1,${Array.from({ length: count }, (_, at) => `"e${at}":1`).join()}}`
  expect(faultOf(many(1023))).toBeUndefined()
  expect(faultOf(many(1024))).toBe('an event has at most 1024 attributes: put what is more into data')
})

test('data may be nested as deep as every reader can follow, and no deeper', () => {
  const nested = (levels: number) => `{"data":${'[{"a":'.repeat(levels / 2)}1${'}]'.repeat(levels / 2)}}`
  expect(faultOf(nested(MAX_DEPTH))).toBeUndefined()
  expect(faultOf(nested(MAX_DEPTH + 2))).toBe(TOO_DEEP)
  expect(faultOf(nested(200_000))).toBe(TOO_DEEP)
})

test('property: a time is taken exactly when its text is', () => {
  const time = fc.stringMatching(
    /^20[0-2]\d-[01]\d-[0-3]\d[Tt ][0-2]\d:[0-5]\d:[0-6]\d(?:[.,]\d{0,9})?(?:[Zz]|[+-][012]\d:[0-6]\d)?x?$/,
  )
  fc.assert(
    fc.property(time, (text) => {
      expect(faultOf(JSON.stringify({ data: 1, time: text }))).toBe(validate({ data: 1, time: text }))
    }),
    { numRuns: 2000 },
  )
})
