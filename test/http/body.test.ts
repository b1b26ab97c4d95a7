import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { MAX_DEPTH } from '../../app/event.ts'
import { readBody } from '../../app/http/body.ts'
import { atMost, decoded } from '../support/events.ts'
import { headersOf } from '../support/http.ts'

const NDJSON = { 'content-type': 'application/x-ndjson' }
const JSON_TYPE = { 'content-type': 'application/json' }
const LIMIT = 1000

function read(text: string | Buffer, headers: Record<string, string>, limit = LIMIT) {
  const { payload, count, rejected } = readBody(Buffer.from(text), headersOf(headers), atMost(limit))
  return { lines: payload.toString().split('\n'), count, rejected }
}

/** What delivery makes of a body. */
function delivered(text: string | Buffer, headers: Record<string, string>) {
  const { payload, count } = readBody(Buffer.from(text), headersOf(headers), atMost(LIMIT))
  const group = { logId: 'log', baseOffset: 0, appendedAtMs: 0 }
  return decoded({ ...group, payload: Buffer.concat([payload, Buffer.from('\n')]), count })
}

describe('data that is nested', () => {
  const nested = (levels: number) => `${'['.repeat(levels)}${']'.repeat(levels)}`
  const event = (levels: number) => `{"data":${nested(levels)}}`
  const small = '{"data":1}'

  test.each([
    ['one event', JSON_TYPE, event],
    ['an array', JSON_TYPE, (levels: number) => `[${event(levels)}]`],
    ['NDJSON', NDJSON, event],
    [
      'a CloudEvent',
      { 'content-type': 'application/cloudevents+json' },
      (levels: number) => `{"specversion":"1.0","id":"a","source":"/s","type":"t",${event(levels).slice(1)}`,
    ],
    ['binary mode', { ...JSON_TYPE, 'ce-specversion': '1.0', 'ce-id': 'a', 'ce-source': '/s', 'ce-type': 't' }, nested],
  ])('%s: up to 512 deep, and no sink has to stop for more', (_, headers, body) => {
    expect(read(body(MAX_DEPTH), headers).count).toBe(1)
    for (const levels of [MAX_DEPTH + 1, 5000, 400_000]) {
      expect(() => read(body(levels), headers)).toThrow(/nested more than 512 deep/)
    }
  })

  test('costs only itself among others', () => {
    const lines = [small, event(MAX_DEPTH), event(MAX_DEPTH + 1), small]
    expect(read(lines.join('\n'), NDJSON)).toMatchObject({
      count: 3,
      rejected: [{ index: 2, reason: expect.stringMatching(/512 deep/) }],
    })
  })

  test('and malformed is still malformed', () => {
    expect(() => read('['.repeat(400_000), JSON_TYPE)).toThrow(/malformed JSON/)
  })
})

describe('application/json', () => {
  test('one object is kept as it came, on one line', () => {
    expect(read('{"id":1,\n  "data": 1.0 }', JSON_TYPE).lines).toEqual(['{"id":1,   "data": 1.0 }'])
  })

  test('an array gives one line an event, and a reason for each bad one', () => {
    const { lines, count, rejected } = read('[{"data":1},{"dat":2},7,{"data":"a\\nb"}]', JSON_TYPE)
    expect(lines).toEqual(['{"data":1}', '{"data":"a\\nb"}'])
    expect(count).toBe(2)
    expect(rejected.map(({ index }) => index)).toEqual([1, 2])
  })

  test('malformed JSON names the place', () => {
    expect(() => read('{"data":1,\n"id" 2}', JSON_TYPE)).toThrow(/position 16 \(line 2, column 6\)/)
    expect(() => read('hello', JSON_TYPE)).toThrow(/malformed JSON at position 0/)
    expect(() => read('{"data":1', JSON_TYPE)).toThrow(/position 9/)
  })

  test.each([
    ['', 'MALFORMED', /empty/],
    ['{"id":1}', 'NO_VALID_EVENT', /event 0: data is missing/],
    ['"text"', 'NO_VALID_EVENT', /must be a JSON object/],
  ])('%j is refused as %s', (body, code, message) => {
    expect(() => read(body, JSON_TYPE)).toThrow(
      expect.objectContaining({ code, message: expect.stringMatching(message) }),
    )
  })

  test('bytes that are not UTF-8 are refused with their place', () => {
    expect(() => read(Buffer.from([0x7b, 0x22, 0xff, 0x22]), JSON_TYPE)).toThrow(/not UTF-8: see byte 2/)
  })

  test('more events than the limit are refused as too many', () => {
    expect(() => read('[{"data":1},{"data":2}]', JSON_TYPE, 1)).toThrow(
      expect.objectContaining({ code: 'TOO_MANY_EVENTS' }),
    )
  })

  test('a charset other than UTF-8 is refused', () => {
    expect(() => read('{"data":1}', { 'content-type': 'application/json; charset=latin1' })).toThrow(
      /no charset but UTF-8/,
    )
    expect(read('{"data":1}', { 'content-type': 'application/json; charset=UTF-8' }).count).toBe(1)
  })
})

describe('application/x-ndjson', () => {
  test('lines are kept byte for byte', () => {
    const { lines, count } = read('{"data":1.0}\n {"data":"\\u00e9"} \r\n{"data":[{"x":1},{"y":2}]}\n', NDJSON)
    expect(lines).toEqual(['{"data":1.0}', ' {"data":"\\u00e9"} \r', '{"data":[{"x":1},{"y":2}]}'])
    expect(count).toBe(3)
  })

  test('blank lines are no events', () => {
    expect(read('\n{"data":1}\n\n  \n{"data":2}\n\n', NDJSON).lines).toEqual(['{"data":1}', '{"data":2}'])
  })

  test('a malformed line costs only itself', () => {
    const { lines, rejected } = read('{"data":1}\n{"data":\n{"data":3}\n{"nodata":4}', NDJSON)
    expect(lines).toEqual(['{"data":1}', '{"data":3}'])
    expect(rejected).toMatchObject([
      { index: 1, reason: expect.stringMatching(/malformed JSON at position 8/) },
      { index: 3, reason: expect.stringMatching(/not an attribute|data is missing/) },
    ])
  })

  test('two events on one line, made up for by one over two lines, are not taken for three', () => {
    const { lines, rejected } = read('{"data":0},{"data":1}\n{"data":[{"x":1}\n{"y":2}]}\n{"data":"ok"}', NDJSON)
    expect(lines).toEqual(['{"data":"ok"}'])
    expect(rejected.map(({ index }) => index)).toEqual([0, 1, 2])
  })

  test('only malformed lines is a malformed body; only invalid events is a body without an acceptable event', () => {
    expect(() => read('a\nb', NDJSON)).toThrow(expect.objectContaining({ code: 'MALFORMED' }))
    expect(() => read('{"id":1}\nb', NDJSON)).toThrow(expect.objectContaining({ code: 'NO_VALID_EVENT' }))
    expect(() => read('\n\n', NDJSON)).toThrow(expect.objectContaining({ code: 'MALFORMED' }))
  })

  test('property: parsing in one call accepts exactly the lines that are events by themselves', () => {
    const line = fc.oneof(
      fc.jsonValue().map((data) => JSON.stringify({ data })),
      fc.constantFrom(
        '{"data":[1',
        '2]}',
        '{"data":1},{"data":2}',
        '{"data":{"a":1}',
        '{"b":2}}',
        // With and without a comma behind an object, which decides how they are parsed.
        '{"data":1}, 5',
        '{"data":"}, "}',
        '{"data":1,5,"x"}',
        '{"data":"a',
        'b"}',
        '5',
        '"data":2}',
        '[{"data":1}',
        '{"data":1}]',
        '{"data":1} \t,\r{"data":2}',
        '\u007b"data":{"a":1}}',
        '',
        ' ',
        '[]',
        '0',
        '{"data":"x"}\r',
      ),
      fc.json(),
    )
    const isEvent = (text: string) => {
      try {
        const value = JSON.parse(text)
        return (
          typeof value === 'object' &&
          value !== null &&
          !Array.isArray(value) &&
          Object.keys(value).every((key) => key === 'data') &&
          'data' in value
        )
      } catch {
        return false
      }
    }
    fc.assert(
      fc.property(fc.array(line, { minLength: 1, maxLength: 8 }), (lines) => {
        const expected = lines.filter(isEvent)
        fc.pre(expected.length > 0)
        const result = read(lines.join('\n'), NDJSON)
        expect(result.lines.map((text) => text.trim())).toEqual(expected.map((text) => text.trim()))
        expect(result.count).toBe(expected.length)
        expect(delivered(lines.join('\n'), NDJSON).map((event) => event?.data)).toEqual(
          expected.map((text) => JSON.parse(text).data),
        )
      }),
      { numRuns: 3000 },
    )
  })

  test('what goes over a line break is not made up for by elements that are no objects', () => {
    const { lines, rejected } = read('{"data":[1\n2]}\n5,6\n{"data":"ok"}', NDJSON)
    expect(lines).toEqual(['{"data":"ok"}'])
    expect(rejected.map(({ index }) => index)).toEqual([0, 1, 2])
  })
})

describe('CloudEvents', () => {
  const event = { specversion: '1.0', id: 'a', source: '/s', type: 't', data: { x: 1 } }

  test('structured mode, one and a batch', () => {
    expect(delivered(JSON.stringify(event), { 'content-type': 'application/cloudevents+json' })).toEqual([event])
    expect(delivered(JSON.stringify([event, event]), { 'content-type': 'application/cloudevents-batch+json' })).toEqual(
      [event, event],
    )
  })

  test('structured mode takes no short events', () => {
    expect(() => read('{"data":1}', { 'content-type': 'application/cloudevents+json' })).toThrow(
      /specversion is missing/,
    )
    expect(() => read('{}', { 'content-type': 'application/cloudevents-batch+json' })).toThrow(/must be a JSON array/)
  })

  const headers = { 'ce-specversion': '1.0', 'ce-id': 'a', 'ce-source': '/s', 'ce-type': 't' }
  test.each([
    ['{"x":1}', 'application/json', { data: { x: 1 } }],
    ['{"x":1}', 'application/vnd.acme+json', { data: { x: 1 } }],
    ['plain', 'text/plain', { data: 'plain' }],
    ['\u0001', 'application/octet-stream', { data_base64: 'AQ==' }],
    ['caf\u00e9', 'text/plain; charset=UTF-8', { data: 'caf\u00e9' }],
    [Buffer.from('caf\xe9', 'latin1'), 'text/plain; charset=iso-8859-1', { data_base64: 'Y2Fm6Q==' }],
    ['plain', 'text/plain; charset="iso-8859-1"', { data_base64: 'cGxhaW4=' }],
    ['plain', 'Text/Plain; title="a; charset=latin1"', { data: 'plain' }],
    ['{"x":1}', 'application/json; charset=utf-16', { data_base64: 'eyJ4IjoxfQ==' }],
    ['<a/>', 'application/xml', { data_base64: 'PGEvPg==' }],
    ['PNG', 'image/png', { data_base64: 'UE5H' }],
    ['{"data":1}\n', 'application/x-ndjson', { data_base64: 'eyJkYXRhIjoxfQo=' }],
  ])('binary mode: %s as %s', (body, type, expected) => {
    expect(delivered(body, { ...headers, 'content-type': type })).toMatchObject([
      { id: 'a', source: '/s', datacontenttype: type, ...expected },
    ])
  })

  test('binary mode decodes percent-encoded headers and refuses broken ones', () => {
    expect(delivered('', { ...headers, 'ce-subject': 'Euro%20%E2%82%AC' })).toMatchObject([{ subject: 'Euro €' }])
    expect(() => read('', { ...headers, 'ce-subject': '%E2%82' })).toThrow(/ce-subject is not valid percent-encoding/)
  })

  const asNodeReads = (value: string) => Buffer.from(value).toString('latin1')
  test.each([
    [asNodeReads('é'), 'é'],
    [asNodeReads('€ 5'), '€ 5'],
    [asNodeReads('日本'), '日本'],
    [asNodeReads('😀%20😀'), '😀 😀'],
    [asNodeReads('"é\\"€"'), 'é"€'],
    ['a+b', 'a+b'],
    ['%F0%9F%98%80', '😀'],
  ])('binary mode reads a header of the bytes %j as %j', (sent, subject) => {
    expect(delivered('', { ...headers, 'ce-subject': sent })).toMatchObject([{ subject }])
  })

  test.each([
    ['\xe9', /ce-subject is not UTF-8/],
    ['\xc3', /ce-subject is not UTF-8/],
    ['\xc0\xaf', /ce-subject is not UTF-8/],
    ['\xed\xa0\x80', /ce-subject is not UTF-8/],
    ['%FF', /ce-subject is not valid percent-encoding/],
    ['%C0%AF', /ce-subject is not valid percent-encoding/],
    ['100%', /ce-subject is not valid percent-encoding: write a percent sign as %25/],
  ])('binary mode refuses a header of the bytes %j: no other text is made of it', (sent, reason) => {
    expect(() => read('', { ...headers, 'ce-subject': sent })).toThrow(reason)
    const bytes = Buffer.from(sent, 'latin1')
    if (bytes.includes(0x25)) return
    expect(() => read('x', { ...headers, 'content-type': `text/plain; title=${sent}` })).toThrow(/UTF-8|cannot be read/)
  })

  test('binary mode: a header that is there twice is refused', () => {
    for (const header of ['ce-id', 'ce-subject', 'ce-ext', 'content-type']) {
      const all = headersOf({ ...headers, 'content-type': 'application/json', [header]: 'application/json' })
      const twice = { ...all, headersDistinct: { ...all.headersDistinct, [header]: ['a', 'b'] } }
      expect(() => readBody(Buffer.from('1'), twice, atMost(LIMIT))).toThrow(`header ${header} is there twice`)
    }
  })

  test.each(['ce-id', 'ce-type', 'ce-ext'])('%s without ce-specversion is refused, not left out', (header) => {
    for (const type of [JSON_TYPE, NDJSON, {}]) {
      expect(() => read('{"data":1}', { ...type, [header]: 'x' })).toThrow(`header ${header} without ce-specversion`)
    }
    // Structured mode may repeat attributes as headers.
    const event = '{"specversion":"1.0","id":"a","source":"/s","type":"t"}'
    expect(read(event, { 'content-type': 'application/cloudevents+json', [header]: 'x' }).count).toBe(1)
  })

  test('binary mode: a header cannot reach a prototype', () => {
    expect(() => read('1', { ...headers, 'ce-__proto__': 'x', 'content-type': 'application/json' })).toThrow(
      /__proto__/,
    )
  })
})

test.each([
  ['application/json', '[]'],
  ['application/json', ' [\n] '],
  ['application/cloudevents-batch+json', '[]'],
])('%s: %j is a batch of no events', (type, body) => {
  expect(readBody(Buffer.from(body), headersOf({ 'content-type': type }), atMost(LIMIT))).toMatchObject({
    count: 0,
    rejected: [],
  })
})

test.each(['x-ndjson', 'ndjson', 'jsonl', 'x-jsonl', 'jsonlines', 'x-jsonlines'])(
  'application/%s is NDJSON',
  (name) => {
    expect(read('{"data":1}\n{"data":2}\n', { 'content-type': `application/${name}; charset=utf-8` }).count).toBe(2)
  },
)

describe('a byte order mark before the body is skipped and not stored', () => {
  const mark = '\ufeff'
  const complete = '{"specversion":"1.0","id":"a","source":"/s","type":"t","data":"\ufeff"}'

  test.each([
    ['application/json', '{"data":1}', '{"data":1}'],
    ['application/json', '[{"data":1},{"data":2}]', '{"data":1}\n{"data":2}'],
    ['application/x-ndjson', '{"data":1}\n{"data":2}\n', '{"data":1}\n{"data":2}'],
    ['application/x-ndjson', '\r\n{"data":1}\r\n', '{"data":1}'],
    ['application/jsonl', '{"data":1}', '{"data":1}'],
    ['application/cloudevents+json', complete, complete],
    ['application/cloudevents-batch+json', `[${complete}]`, complete],
  ])('%s %j', (type, body, stored) => {
    const got = read(mark + body, { 'content-type': type })
    expect(got.lines).toEqual(stored.split('\n'))
    expect(got).toEqual(read(body, { 'content-type': type }))
  })

  test('in binary mode, where the data is JSON; other data keeps its bytes', () => {
    const ce = { 'ce-specversion': '1.0', 'ce-id': 'a', 'ce-source': '/s', 'ce-type': 't' }
    const dataOf = (type: string) => JSON.parse(read(`${mark}[1]`, { ...ce, 'content-type': type }).lines.join()).data
    expect([dataOf('application/json'), dataOf('text/plain')]).toEqual([[1], `${mark}[1]`])
  })

  test.each(['', '\r\n', '\ufeff{"data":1}'])('and then %j: no event', (body) => {
    for (const type of ['application/json', 'application/x-ndjson']) {
      expect(() => read(mark + body, { 'content-type': type })).toThrow(expect.objectContaining({ code: 'MALFORMED' }))
    }
  })

  test('a mark of UTF-16 is not one: the body is not UTF-8', () => {
    const utf16 = Buffer.from('\ufeff{"data":1}', 'utf16le')
    expect(() => read(utf16, NDJSON)).toThrow(/not UTF-8: see byte 0/)
  })

  test('half a mark is no mark', () => {
    expect(() => read(Buffer.from([0xef, 0xbb]), NDJSON)).toThrow(/not UTF-8/)
  })
})

test('NDJSON: the place of a rejected event counts lines that are not blank', () => {
  const body = '\n{"data":1}\r\n \t\n{"bad":1}\n\n{"data":2}\n'
  expect(read(body, NDJSON)).toMatchObject({ count: 2, rejected: [{ index: 1 }] })
})

test('NDJSON: one byte that is not UTF-8 refuses all of it, with its place', () => {
  const body = Buffer.concat([Buffer.from('{"data":1}\n{"data":"'), Buffer.from([0xe9]), Buffer.from('"}\n')])
  expect(() => read(body, NDJSON)).toThrow(/not UTF-8: see byte 20/)
})

test.each(['application/json, text/plain', 'json', 'application/json; charset', 'a/b;\x80'])(
  'content type %j cannot be read and is refused',
  (type) => {
    for (const others of [{}, { 'ce-specversion': '1.0', 'ce-id': 'a', 'ce-source': '/s', 'ce-type': 't' }]) {
      expect(() => read('{"data":1}', { 'content-type': type, ...others })).toThrow(/cannot be read/)
    }
  },
)

test('an unknown type is refused with the known ones', () => {
  expect(() => read('a=1', { 'content-type': 'application/x-www-form-urlencoded' })).toThrow(/use application\/json/)
  expect(() => read('{"data":1}', {})).toThrow(expect.objectContaining({ code: 'UNSUPPORTED_TYPE' }))
})
