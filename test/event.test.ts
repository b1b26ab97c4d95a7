import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { MAX_ATTRIBUTE_LENGTH, validate } from '../app/event.ts'

const cloudEvent = { specversion: '1.0', id: 'a', source: '/shop', type: 'order' }

describe('validate', () => {
  test.each([
    [{ id: 1, data: 'Event 1' }],
    [{ data: null }],
    [{ data: { __proto__: 1, constructor: 2 } }],
    [JSON.parse('{"data":{"__proto__":{"polluted":true},"constructor":1}}')],
    [{ data: 1, traceparent: '00-ab-cd-01', priority: 3, sampled: true }],
    [{ data: 1, id: null, time: null }],
    [cloudEvent],
    [{ ...cloudEvent, data_base64: 'AAEC', time: '2026-01-31T12:00:00.123+01:00' }],
    [{ ...cloudEvent, dataschema: 'https://example.com/schema', subject: 'x', datacontenttype: 'text/plain' }],
  ])('accepts %j', (event) => {
    expect(validate(event)).toBeUndefined()
  })

  test.each([
    ['text', /must be a JSON object, not "text"/],
    [null, /not null/],
    [[1], /not an array/],
    [{}, /^data is missing/],
    [{ id: 1.5, data: 1 }, /^id must be a string or an integer/],
    [{ id: '', data: 1 }, /^id must not be empty/],
    [{ id: 'x'.repeat(MAX_ATTRIBUTE_LENGTH + 1), data: 1 }, /^id has 1025 characters, the limit is 1024/],
    [{ type: 'x'.repeat(2000), data: 1 }, /^type has 2000 characters/],
    [{ source: 'x'.repeat(2000), data: 1 }, /^source has 2000 characters/],
    [{ source: 'my shop', data: 1 }, /^source must be a URI reference/],
    [{ subject: 'a\u0000b', data: 1 }, /^subject holds a control character/],
    [{ time: 'yesterday', data: 1 }, /^time must be an RFC 3339 time/],
    [{ time: '2026-13-45T00:00:00Z', data: 1 }, /^time must be/],
    [{ time: '2026-02-29T00:00:00Z', data: 1 }, /^time must be/],
    [{ source: '/a[1]', data: 1 }, /^source must be a URI reference/],
    [{ source: '1:a', data: 1 }, /^source must be a URI reference/],
    [{ Upper: 1, data: 1 }, /"Upper" is not an attribute name/],
    [JSON.parse('{"__proto__":1,"data":1}'), /"__proto__" is not an attribute name/],
    [{ nested: {}, data: 1 }, /^nested must be a string, an integer or a boolean, not an object/],
    [{ data: 1, data_base64: 'AAEC' }, /exclude each other/],
    [{ data_base64: '***' }, /^data_base64 must be base64/],
    [{ ...cloudEvent, specversion: '0.3' }, /^specversion must be "1.0"/],
    [{ ...cloudEvent, id: 5 }, /^id must be a string in a CloudEvent/],
    [{ specversion: '1.0', id: 'a', source: '/a' }, /^type is missing/],
    [{ ...cloudEvent, source: null }, /^source is missing/],
    [{ ...cloudEvent, dataschema: 'relative' }, /^dataschema must be an absolute URI/],
  ])('refuses %j', (event, reason) => {
    expect(validate(event)).toMatch(reason)
  })

  test.each([
    '2016-12-31T23:59:60Z',
    '1990-12-31T15:59:60-08:00',
    '1991-01-01T05:29:60+05:30',
    '2015-06-30T23:59:60.5Z',
    '2017-01-01T08:59:60+09:00',
    '2024-02-29t23:59:59z',
    '0000-01-01T00:00:00-00:00',
    '9999-12-31T23:59:59.999999999999999999999Z',
    '2026-01-31T00:00:00+23:59',
  ])('accepts the time %s', (time) => {
    expect(validate({ time, data: 1 })).toBeUndefined()
  })

  test.each([
    '2026-01-31T24:00:00Z',
    '2026-01-31T24:00:00+01:00',
    '2026-01-31T23:60:00Z',
    '2026-01-31T23:59:61Z',
    '2026-01-15T23:59:60Z',
    '2016-12-31T22:59:60Z',
    '2016-12-31T23:59:60+01:00',
    '2026-00-10T00:00:00Z',
    '2026-01-00T00:00:00Z',
    '2026-04-31T00:00:00Z',
    '1900-02-29T00:00:00Z',
    '2026-01-31 00:00:00Z',
    '2026-01-31T00:00:00',
    '2026-01-31T00:00:00.Z',
    '2026-01-31T00:00:00,5Z',
    '2026-01-31T00:00:00+0100',
    '2026-01-31T00:00:00+24:00',
    '2026-01-31T00:00:00+01:60',
    '2026-01-31T00:00:00Z ',
    '2026-01-31T00:00Z',
    '+02026-01-31T00:00:00Z',
    '2026-1-31T00:00:00Z',
    '2026-01-31T00:00:0\u0660Z',
  ])('refuses the time %s', (time) => {
    expect(validate({ time, data: 1 })).toMatch(/^time must be/)
  })

  test.each([
    'http://[v1.a]/x',
    'http://[V7f.a:b]/',
    'http://[::1]:80/',
    'http://[fe80::1%25en0]/',
    '//[::]',
    'urn:a:b',
    '',
  ])('takes %j for a URI reference, if it is not empty', (source) => {
    if (source === '') expect(validate({ source, data: 1 })).toMatch(/must not be empty/)
    else expect(validate({ source, data: 1 })).toBeUndefined()
  })

  test.each([
    'http://[v1]/',
    'http://[v.a]/',
    'http://[1.2.3.4]/',
    'http://[:::]/',
    'http://[::1',
    'http://[::g]/',
    '/a b',
    '%zz',
  ])('takes %j for no URI reference', (source) => {
    expect(validate({ source, data: 1 })).toMatch(/^source must be a URI reference/)
  })

  test.each([
    '\ufffe',
    '\uffff',
    '\ufdd0',
    '\ufdef',
    '\u{1fffe}',
    '\u{10ffff}',
    '\u007f',
    '\u0085',
    '\ud800',
    '\udc00\ud800',
  ])('no attribute holds %j', (character) => {
    for (const name of ['id', 'type', 'subject', 'ext']) {
      expect(validate({ [name]: `a${character}b`, data: 1 })).toMatch(`${name} holds a control character`)
    }
    expect(validate({ data: character })).toBeUndefined()
  })

  test.each([-(2 ** 31), 2 ** 31 - 1, 0, true, '2147483648'])('an extension can be %j', (priority) => {
    expect(validate({ priority, data: 1 })).toBeUndefined()
  })

  test.each([-(2 ** 31) - 1, 2 ** 31, 1e20, 1.5])('an extension cannot be %j', (priority) => {
    expect(validate({ priority, data: 1 })).toMatch(/^priority must be/)
  })

  test('strict takes only complete CloudEvents', () => {
    expect(validate({ data: 1 }, 'strict')).toMatch(/specversion is missing/)
    expect(validate(cloudEvent, 'strict')).toBeUndefined()
  })

  test('property: never throws, whatever JSON holds', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.constantFrom('strict' as const, 'lenient' as const), (value, strictness) => {
        const reason = validate(value, strictness)
        expect(reason === undefined || reason.length > 0).toBe(true)
      }),
    )
  })
})

test('property: a time is taken exactly when it is one, whichever way it is looked at', () => {
  const number = (maximum: number, width: number) =>
    fc.integer({ min: 0, max: maximum }).map((value) => String(value).padStart(width, '0'))
  const parts = fc.record({
    date: fc.tuple(number(2500, 4), number(14, 2), number(33, 2)),
    time: fc.tuple(number(25, 2), number(61, 2), number(61, 2)),
    fraction: fc.oneof(fc.constant(''), fc.stringMatching(/^[.,]\d{0,10}$/)),
    zone: fc.constantFrom('Z', 'Z', 'z', '', '+01:00'),
    odd: fc.option(fc.tuple(fc.integer({ min: 0, max: 19 }), fc.constantFrom('x', ' ', '/', ':', '-', 'T', '٣')), {
      freq: 4,
    }),
  })
  fc.assert(
    fc.property(parts, ({ date, time, fraction, zone, odd }) => {
      const whole = `${date.join('-')}T${time.join(':')}${fraction}${zone}`
      const text = odd ? whole.slice(0, odd[0]) + odd[1] + whole.slice(odd[0] + 1) : whole
      const [year, month, day, hour, minute, second] = (
        /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.\d+)?(?:[Zz]|[+-]01:00)$/.exec(text) ?? []
      )
        .slice(1)
        .map(Number)
      const days = new Date(Date.UTC(2000, month ?? 0, 0))
      days.setUTCFullYear(year ?? 0, month, 0)
      const isTime =
        month !== undefined &&
        month >= 1 &&
        month <= 12 &&
        (day ?? 0) >= 1 &&
        (day ?? 0) <= days.getUTCDate() &&
        (minute ?? 60) <= 59 &&
        (second ?? 60) <= 59 &&
        (hour ?? 25) <= 23
      expect(validate({ data: 1, time: text }) === undefined, text).toBe(isTime)
    }),
    {
      numRuns: 3000,
      // A leap year; JavaScript takes years before 100 for those of the last century.
      examples: [
        [{ date: ['0000', '02', '29'], time: ['00', '00', '00'], fraction: '', zone: '+01:00', odd: null }],
        [{ date: ['0000', '01', '01'], time: ['24', '00', '00'], fraction: '', zone: 'Z', odd: null }],
      ],
    },
  )
})
