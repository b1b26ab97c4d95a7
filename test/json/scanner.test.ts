import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  endOf,
  type Form,
  firstMember,
  isOddName,
  isPlainText,
  MALFORMED,
  MAX_MEMBERS,
  Mark,
  MEMBER_STEP,
  marksOf,
  membersOf,
  NO_OBJECT,
  nameAt,
  nameLengthOf,
  nameOf,
  nextHead,
  OTHER_NAME,
  Scanner,
  startOf,
  valueAt,
  valueEnd,
} from '../../app/json/scanner.ts'
import { jsonTexts, whiteSpace } from '../support/json-texts.ts'
import { CASES } from './cases.ts'

const NAMES = ['id', 'source', 'data', 'a23456789012345']
const MAX_DEPTH = 8
const { name, json } = jsonTexts(NAMES)
const scanner = new Scanner({ names: NAMES, maxDepth: MAX_DEPTH }, 4096)

interface Found {
  readonly text: string
  readonly kind: number
  readonly marks: number
  /** Raw names and values. */
  readonly members: readonly (readonly [name: string, value: string])[]
  readonly numbers: readonly number[]
}

function scan(input: string | Buffer, form: Form) {
  const bytes = Buffer.from(input)
  const found: Found[] = []
  const outcome = scanner.scan(bytes, form, ({ places, head: first, texts, base }) => {
    let head = first
    for (let text = 0; text < texts; text++) {
      const members: [string, string][] = []
      const numbers: number[] = []
      const end = firstMember(head) + Math.max(0, membersOf(places, head)) * MEMBER_STEP
      for (let member = firstMember(head); member < end; member += MEMBER_STEP) {
        const at = base + nameAt(places, member)
        const name = bytes.toString('utf8', at, at + nameLengthOf(places, member))
        const value = bytes.toString('utf8', base + valueAt(places, member), base + valueEnd(places, member))
        members.push([name, value])
        numbers.push(nameOf(places, member))
        expect(isOddName(places, member)).toBe(!isPlain(name))
        expect(isPlainText(places, member)).toBe(value.startsWith('"') && isPlain(value.slice(1, -1)))
      }
      const marks = marksOf(places, head)
      const whole = bytes.toString('utf8', base + startOf(places, head), base + endOf(places, head))
      found.push({ text: whole, kind: membersOf(places, head), marks, members, numbers })
      head = nextHead(places, head)
    }
  })
  return { ...outcome, found: outcome.isSound ? found : [] }
}

const isPlain = (text: string) => /^[ !#-[\]-~]*$/.test(text)

/** What JSON.parse says: the meaning of correct. */
function parsed(text: string): { value: unknown } | undefined {
  try {
    return { value: JSON.parse(text) }
  } catch {
    return undefined
  }
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Scanned as JSON.parse parses it: the same verdict, the same members. */
function expectAsParsed(text: string): void {
  const expected = parsed(text)
  const { isSound, found } = scan(text, 'one')
  expect(isSound, text).toBe(expected !== undefined)
  if (expected === undefined) return
  const [one] = found
  expect(one?.text).toBe(text.replace(/^[ \t\n\r]+|[ \t\n\r]+$/g, ''))
  if (!isObject(expected.value)) return void expect(one?.kind).toBe(NO_OBJECT)
  const members = one?.members.map(([name, value]) => [JSON.parse(`"${name}"`), JSON.parse(value)] as const) ?? []
  expect(Object.fromEntries(members)).toEqual(expected.value)
  expect(new Set(members.map(([name]) => name)).size).toBe(Object.keys(expected.value).length)
}

const object = fc
  .array(fc.tuple(name, whiteSpace, json), { maxLength: 8 })
  .map((members) => `{${members.map(([key, space, value]) => `${key}${space}:${space}${value}`).join(',')}}`)
const spoiled = fc
  .tuple(
    object,
    fc.nat(),
    fc.nat(3),
    fc.string({ unit: fc.constantFrom(...'{}[],:"\\0123456789eE.+-tfn \n\t\x00\x01\x1f'), maxLength: 3 }),
  )
  .map(([whole, at, cut, put]) => {
    const place = at % (whole.length + 1)
    return (whole.slice(0, place) + put + whole.slice(place + cut)).toWellFormed()
  })

describe('what is JSON', () => {
  test.each(CASES)('%j as JSON.parse has it', (each) => {
    expectAsParsed(each)
    expectAsParsed(` ${each}\n`)
    expectAsParsed(`{"data":${each}}`)
    expectAsParsed(`{"a":1, "x" :[${each}]}`)
    expectAsParsed(`{"${each}":1}`)
  })

  test('property: what somebody may write', () => {
    fc.assert(
      fc.property(fc.oneof(json, object), (whole) => expectAsParsed(whole)),
      { numRuns: 1000 },
    )
  })

  test('property: what somebody has spoilt', () => {
    fc.assert(
      fc.property(spoiled, (whole) => expectAsParsed(whole)),
      { numRuns: 3000 },
    )
  })

  test('property: each end of a text, cut at any byte', () => {
    fc.assert(
      fc.property(object, (whole) => {
        for (let end = 0; end <= whole.length; end++) expectAsParsed(whole.slice(0, end))
      }),
      { numRuns: 50 },
    )
  })

  test('property: any bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
        const whole = Buffer.from(bytes)
        const { isSound } = scan(whole, 'one')
        // A byte that is not UTF-8 within a text is the matter of isUtf8.
        if (whole.toString() === whole.toString('latin1')) expect(isSound).toBe(parsed(whole.toString()) !== undefined)
      }),
      { numRuns: 2000 },
    )
  })
})

describe('lines', () => {
  test('property: each is looked at by itself, and those that are no JSON are marked', () => {
    fc.assert(
      fc.property(fc.array(fc.oneof(object, json, spoiled, whiteSpace), { maxLength: 12 }), (parts) => {
        const lines = parts.map((part) => part.replaceAll('\n', ' '))
        const { found, texts, blank } = scan(lines.join('\n'), 'lines')
        const whole = lines.filter((line) => /[^ \t\r]/.test(line))
        expect(texts).toBe(whole.length)
        // Behind a last line break nothing follows, not even a blank line.
        expect(blank).toBe(lines.length - whole.length - (lines.at(-1) === '' ? 1 : 0))
        expect(found.map(({ kind }) => kind === MALFORMED)).toEqual(whole.map((line) => parsed(line) === undefined))
        for (const [at, { text: raw, kind }] of found.entries())
          if (kind !== MALFORMED) expect(raw).toBe(whole[at]?.trim())
      }),
      { numRuns: 1000 },
    )
  })

  test('more than fit at once, and longer than fits at once, come in their order', () => {
    const lines = Array.from({ length: 3000 }, (_, at) =>
      at % 500 === 7 ? `{"id":${at},"data":"${'x'.repeat(20_000)}"}` : at % 300 === 4 ? `{"id":${at}` : `{"id":${at}}`,
    )
    const { found, texts } = scan(`${lines.join('\n')}\n`, 'lines')
    expect(texts).toBe(lines.length)
    expect(found.map(({ text: raw }) => raw)).toEqual(lines)
    expect(found.filter(({ kind }) => kind === MALFORMED)).toHaveLength(10)
  })

  test('a blank line that is longer than fits at once is blank', () => {
    const { texts, blank } = scan(`{"id":1}\n${' '.repeat(10_000)}\n{"id":2}`, 'lines')
    expect([texts, blank]).toEqual([2, 1])
  })

  test('a line break ends a text, wherever it stands', () => {
    expect(scan('{"a":\n1}', 'lines').found.map(({ kind }) => kind)).toEqual([MALFORMED, MALFORMED])
    expect(scan('{"a":1} {"a":1}\n{}', 'lines').found.map(({ kind }) => kind)).toEqual([MALFORMED, 0])
  })
})

describe('an array', () => {
  test('property: its elements, if it is one', () => {
    const elements = fc.array(fc.oneof(json, object), { maxLength: 10 })
    fc.assert(
      fc.property(elements, whiteSpace, spoiled, fc.boolean(), (values, space, odd, isOdd) => {
        const whole = `${space}[${space}${values.join(`${space},\n`)}${isOdd ? `,${odd}` : ''}]${space}`
        const expected = parsed(whole)
        const { isSound, found } = scan(whole, 'array')
        expect(isSound, whole).toBe(expected !== undefined)
        if (expected !== undefined) {
          expect(found.map(({ text: raw }) => JSON.parse(raw))).toEqual(expected.value)
        }
      }),
      { numRuns: 1000 },
    )
  })

  test('of more elements than there is room for', () => {
    const big = new Scanner({ names: NAMES, maxDepth: MAX_DEPTH })
    const elements = Array.from({ length: 40_000 }, (_, at) => `{"a":1,"b":${at}}`)
    let texts = 0
    let calls = 0
    const bytes = Buffer.from(`[${elements.join(',')}]`)
    const outcome = big.scan(bytes, 'array', (scanned) => {
      const { places, head, base } = scanned
      expect(bytes.toString('utf8', base + startOf(places, head), base + endOf(places, head))).toBe(elements[texts])
      texts += scanned.texts
      calls += 1
    })
    expect(outcome).toMatchObject({ texts: elements.length, isSound: true })
    expect(calls).toBeGreaterThan(1)
  })

  test.each(['', ' ', '{}', '1', '[', ']', '[1', '[1,]', '[,1]', '[1] 2', '[1]]', '[]x'])('%j is none', (whole) => {
    expect(scan(whole, 'array').isSound).toBe(false)
  })
})

describe('what is marked', () => {
  test('names by their number, and no other name of the same beginning', () => {
    const members = '"id":1,"ide":2,"i":3,"data":4,"a23456789012345":5,"a2345678901234":6,"a234567890123456":7'
    expect(scan(`{${members}}`, 'one').found[0]?.numbers).toEqual([
      0,
      OTHER_NAME,
      OTHER_NAME,
      2,
      3,
      OTHER_NAME,
      OTHER_NAME,
    ])
  })

  test('which names there are, twice, null, others, and more than are taken apart', () => {
    const marks = (whole: string) => scan(whole, 'one').found[0]?.marks ?? -1
    expect(marks('{"id":1,"data":2}')).toBe(0b101)
    expect(marks('{"id":1,"id":2}')).toBe(1 | Mark.NAME_TWICE)
    expect(marks('{"id":null}')).toBe(1 | Mark.HAS_NULL)
    expect(marks('{"id":[null]}')).toBe(1)
    expect(marks('{"other":1}')).toBe(Mark.HAS_OTHERS)
    const many = (count: number) => `{${Array.from({ length: count }, () => '"x":1').join()}}`
    expect(marks(many(MAX_MEMBERS))).toBe(Mark.HAS_OTHERS)
    expect(marks(many(MAX_MEMBERS + 1))).toBe(Mark.HAS_OTHERS | Mark.TOO_MANY)
  })

  test.each(['[]', '{}'])('%s deeper than the limit, however deep', (pair) => {
    const [open, close] = pair === '[]' ? ['[', ']'] : ['{"a":', '}']
    const nested = (levels: number) => `{"data":${open?.repeat(levels)}1${close?.repeat(levels)}}`
    const marks = (whole: string) => scan(whole, 'one').found[0]?.marks ?? -1
    expect(marks(nested(MAX_DEPTH)) & Mark.TOO_DEEP).toBe(0)
    expect(marks(nested(MAX_DEPTH + 1)) & Mark.TOO_DEEP).toBe(Mark.TOO_DEEP)
    expect(marks(nested(100_000)) & Mark.TOO_DEEP).toBe(Mark.TOO_DEEP)
    expect(scan(nested(100_000).slice(0, -1), 'one').isSound).toBe(false)
    // What was so deep leaves nothing behind.
    expect(marks('{"data":1}')).toBe(0b100)
  })
})

test('fill puts what is missing in front, goes on counting, and hands out what it cannot do', () => {
  const lines: string[] = []
  const filling = {
    members: new Map([
      [0, '"id":"a-'],
      [1, '"source":"s",'],
    ]),
    whole: 3,
    asText: 0,
    counted: 0,
  }
  const given = [
    '{"data":1}',
    '{"id":7,"x":[1]}',
    '{"a23456789012345":0}',
    '{"id":1.0}',
    '{"id":null}',
    'no',
    '{"id":"b"}',
  ]
  const count = scanner.fill(
    Buffer.from(given.join('\n')),
    filling,
    9_007_199_254_740_980,
    (out) => void lines.push(...Buffer.from(out).toString().trimEnd().split('\n')),
    (line, index) => void lines.push(`${index}: ${Buffer.from(line)}`),
  )
  expect(count).toBe(given.length)
  expect(lines).toEqual([
    '{"id":"a-9007199254740980","source":"s","data":1}',
    '{"source":"s","id":"7","x":[1]}',
    '{"a23456789012345":0}',
    '3: {"id":1.0}',
    '4: {"id":null}',
    '5: no',
    '{"source":"s","id":"b"}',
  ])
})

test('property: fill changes nothing but what is missing, whatever the sizes', () => {
  const event = fc.record({ id: fc.option(fc.nat()), size: fc.oneof(fc.nat(50), fc.nat(9000)) })
  fc.assert(
    fc.property(fc.array(event, { maxLength: 60 }), (events) => {
      const given = events.map(({ id, size }) => JSON.stringify({ ...(id !== null && { id }), data: 'x'.repeat(size) }))
      const lines: string[] = []
      const members = new Map([[0, '"id":"n-']])
      const take = (out: Uint8Array) => void lines.push(...Buffer.from(out).toString().trimEnd().split('\n'))
      const count = scanner.fill(Buffer.from(given.join('\n')), { members, asText: 0, counted: 0 }, 5, take, take)
      expect(count).toBe(given.length)
      expect(lines.filter(Boolean).map((line) => JSON.parse(line))).toEqual(
        events.map(({ id, size }, at) => ({ id: id === null ? `n-${5 + at}` : String(id), data: 'x'.repeat(size) })),
      )
    }),
  )
})

test('the checked-in WebAssembly is what the source compiles to', () => {
  const path = join(mkdtempSync(join(tmpdir(), 'wasm-')), 'scanner.wasm')
  execFileSync(process.execPath, ['scripts/wasm.ts', path])
  expect(readFileSync(path).equals(readFileSync('app/json/scanner.wasm'))).toBe(true)
})
