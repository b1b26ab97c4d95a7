/** Whatever an input is packed in and however its bytes come: the events that were written are the events that are read. */
import { spawnSync } from 'node:child_process'
import { createReadStream, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync, constants as zlib, zstdCompressSync } from 'node:zlib'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { readEvents } from '../../app/cli/input.ts'
import type { Part } from '../../app/cli/lines.ts'
import { chunked } from '../support/chunked.ts'
import { temporaryDirectory } from '../support/temporary.ts'

async function read(input: AsyncIterable<Buffer>, name = 'events'): Promise<Part[]> {
  const found: Part[] = []
  for await (const part of readEvents(input, name)) found.push(part)
  return found
}

const textsOf = (parts: readonly Part[]) => parts.map(({ bytes, problem }) => bytes?.toString() ?? problem)
const readText = async (text: string | Buffer) =>
  (await read(chunked(Buffer.from(text), []))).map(({ line, bytes, problem }) => [line, bytes?.toString() ?? problem])

const SKIPPABLE = Buffer.from('5a2a4d180300000061626300'.slice(0, 22), 'hex')
const PACKED: Record<string, (bytes: Buffer) => Buffer> = {
  plain: (bytes) => bytes,
  gzip: gzipSync,
  zstd: (bytes) => zstdCompressSync(bytes),
  'zstd with checksum': (bytes) => zstdCompressSync(bytes, { params: { [zlib.ZSTD_c_checksumFlag]: 1 } }),
  'zstd behind a skippable frame': (bytes) => Buffer.concat([SKIPPABLE, zstdCompressSync(bytes), SKIPPABLE]),
}
/** Several packed parts are one text, as `cat *.gz` makes it. */
const packing = fc.constantFrom(...Object.keys(PACKED)).chain((name) =>
  fc.array(fc.nat(), { maxLength: 3 }).map((cuts) => (bytes: Buffer) => {
    const places = [0, ...cuts.map((cut) => cut % (bytes.length + 1)).sort((a, b) => a - b), bytes.length]
    return Buffer.concat(
      places.slice(1).map((end, at) => (PACKED[name] as (part: Buffer) => Buffer)(bytes.subarray(places[at], end))),
    )
  }),
)
const event = fc.dictionary(
  fc.string({ maxLength: 3 }),
  fc.oneof(
    fc.json({ maxDepth: 2 }).map((json): unknown => JSON.parse(json)),
    fc.string({ unit: 'grapheme' }),
    fc.double(),
  ),
  { minKeys: 1 },
)
const LAYOUTS: Record<string, (events: readonly unknown[]) => string> = {
  NDJSON: (events) => events.map((one) => JSON.stringify(one)).join('\n'),
  'CRLF, blank lines, a byte order mark': (events) =>
    `\ufeff${events.map((one) => `${JSON.stringify(one)}\r\n\r\n`).join('')}`,
  array: (events) => JSON.stringify(events),
  'array over several lines': (events) => JSON.stringify(events, undefined, 2),
  'an element a line': (events) => `[\n${events.map((one) => JSON.stringify(one)).join(',\n')}\n]\n`,
  'objects over several lines': (events) => events.map((one) => JSON.stringify(one, undefined, '\t')).join('\n'),
  'objects in a row': (events) => events.map((one) => JSON.stringify(one, undefined, 1)).join(''),
  'arrays in a row': (events) => events.map((one) => JSON.stringify([one])).join('\n\n'),
}

test('property: every event, in order and unchanged, from any layout and packing, in pieces of any length', async () => {
  const lengths = fc.array(fc.integer({ min: 0, max: 40 }), { maxLength: 20 })
  await fc.assert(
    fc.asyncProperty(
      fc.array(event, { minLength: 1, maxLength: 6 }),
      fc.constantFrom(...Object.keys(LAYOUTS)),
      packing,
      lengths,
      async (events, layout, pack, lengths) => {
        const text = (LAYOUTS[layout] as (events: readonly unknown[]) => string)(events)
        const parts = await read(chunked(pack(Buffer.from(text)), lengths))
        expect(parts.map(({ bytes }) => JSON.parse(String(bytes)))).toEqual(JSON.parse(JSON.stringify(events)))
        expect(parts.every(({ bytes }) => !bytes?.includes('\n'))).toBe(true)
      },
    ),
    { numRuns: 1000 },
  )
})

test('property: what is packed and cut short anywhere is an error that names the input, and no event is made up', async () => {
  const events = Array.from({ length: 50 }, (_, id) => `{"id":${id},"data":"${'x'.repeat(id)}"}`)
  const bytes = Buffer.from(events.join('\n'))
  for (const [name, pack] of Object.entries(PACKED).filter(([name]) => name !== 'plain')) {
    const whole = Buffer.concat([pack(bytes.subarray(0, 700)), pack(bytes.subarray(700))])
    const boundary = pack(bytes.subarray(0, 700)).length
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 12, max: whole.length - 1 }), async (end) => {
        fc.pre(end !== boundary && !(name.includes('skippable') && Math.abs(end - boundary) <= 22))
        fc.pre(!(name.includes('skippable') && whole.length - end <= 11))
        const found: Part[] = []
        const run = async () => {
          for await (const part of readEvents(chunked(whole.subarray(0, end), []), 'a.log')) found.push(part)
        }
        await expect(run(), `${name} ${end}`).rejects.toThrow(
          /^cannot read a\.log \(its (gzip|zstd) data is damaged or cut short/,
        )
        expect(textsOf(found)).toEqual(events.slice(0, found.length))
      }),
      { numRuns: 60 },
    )
  }
})

test('what follows packed data and is none is an error, too', async () => {
  for (const pack of [gzipSync, zstdCompressSync]) {
    const damaged = Buffer.concat([pack('{"a":1}\n'), Buffer.from('{"b":2}\n')])
    await expect(read(chunked(damaged, [])), pack.name).rejects.toThrow(/damaged or cut short/)
    await expect(read(chunked(damaged, [damaged.length - 8])), pack.name).rejects.toThrow(/damaged or cut short/)
  }
  await expect(read(chunked(Buffer.alloc(0), []), 'x.gz')).rejects.toThrow('x.gz is empty: it is cut short')
})

describe('one that is malformed costs itself', () => {
  test.each([
    [
      'the first line of NDJSON',
      '{"a":1\n{"b":2}\n',
      [
        [1, '{"a":1'],
        [2, '{"b":2}'],
      ],
    ],
    [
      'the last line',
      '{"a":1}\n{"b":',
      [
        [1, '{"a":1}'],
        [2, '{"b":'],
      ],
    ],
    [
      'an element',
      '[{"a":1},{"b"}, 7 ,"x"]',
      [
        [1, '{"a":1}'],
        [1, '{"b"}'],
        [1, '7 '],
        [1, '"x"'],
      ],
    ],
    [
      'a missing element',
      '[{"a":1},\n,\n{"b":2},\n]',
      [
        [1, '{"a":1}'],
        [2, 'malformed JSON: an event is missing here'],
        [3, '{"b":2}'],
        [4, 'malformed JSON: an event is missing here'],
      ],
    ],
    [
      'a missing quote',
      '[\n{"a":"1},\n{"b":2}\n]',
      [
        [2, expect.stringMatching(/malformed JSON: line 2 ends within a string|cut short/)],
        [4, 'the input ends within the array that begins in line 1: it is cut short'],
      ],
    ],
    [
      'an array that is cut short',
      '[\n{"a":1},\n{"b":',
      [
        [2, '{"a":1}'],
        [3, 'the input ends within this event: it is cut short'],
        [3, 'the input ends within the array that begins in line 1: it is cut short'],
      ],
    ],
    ['an object that is cut short', '{\n "a": 1', [[1, 'the input ends within this event: it is cut short']]],
    [
      'something else',
      '<!doctype html>\n<p>',
      [
        [1, '<!doctype html>'],
        [2, '<p>'],
      ],
    ],
    ['nothing', '[]', []],
    ['blank', ' \r\n\n', []],
    [
      'in old line ends',
      '{"a":1}\r{"b":2}\r',
      [
        [1, '{"a":1}'],
        [1, '{"b":2}'],
      ],
    ],
  ])('%s', async (_, text, expected) => {
    expect(await readText(text)).toEqual(expected)
  })
})

test('bytes that are not UTF-8 are refused with their place, and nothing is replaced', async () => {
  const latin1 = Buffer.from('{"a":"\ufffd"}\n{"a":"caf\u00e9"}\n{"b":1}\n'.replace('\ufffd', '?'), 'latin1')
  expect(await readText(latin1)).toEqual([
    [1, '{"a":"?"}'],
    [
      2,
      expect.stringMatching(
        /^not UTF-8 at byte 10 of the line \(0xe9\): if it is Latin-1, convert the file with iconv/,
      ),
    ],
    [3, '{"b":1}'],
  ])
  const laidOut = Buffer.concat([
    Buffer.from('[\n {\n  "a": "\ufffd'),
    Buffer.from([0xff]),
    Buffer.from('"\n }, {"b":1}]'),
  ])
  expect(await readText(laidOut)).toEqual([
    [3, expect.stringMatching(/^not UTF-8 at byte 12 of the line \(0xff\)/)],
    [4, '{"b":1}'],
  ])
})

test('what other programs write is named, with what to do', async () => {
  const utf16 = (text: string) => Buffer.from(text, 'utf16le')
  for (const bytes of [
    utf16('\ufeff{"a":1}'),
    utf16('{"a":1}'),
    utf16('[1, 2, 3]'),
    utf16('\ufeff{"a":1}').swap16(),
    utf16('{"a":1}').swap16(),
  ])
    await expect(read(chunked(bytes, []), 'x.json')).rejects.toThrow(
      /^x\.json is UTF-16: convert it, iconv .* \| millrace send -$/,
    )
  for (const [tool, text] of [
    ['xz', /xz -dc/],
    ['bzip2', /bzip2 -dc/],
  ] as const) {
    const { stdout, error } = spawnSync(tool, ['-c'], { input: '{"a":1}\n' })
    if (error === undefined) await expect(read(chunked(stdout, []))).rejects.toThrow(text)
  }
})

test('a file that cannot be read is named', async () => {
  const directory = temporaryDirectory()
  await expect(read(createReadStream(directory), 'here')).rejects.toThrow(/cannot read here \(EISDIR.*name a file/)
  await expect(read(createReadStream(join(directory, 'x')), 'x')).rejects.toThrow(/cannot read x \(ENOENT.*name a file/)
})

test('who writes into a pipe now and then is not kept waiting for more', async () => {
  for (const text of ['{"a":1}\n{', '[{"a":1},', '{\n"a":1}\n{', 'oops\n']) {
    const never = async function* () {
      yield Buffer.from(text)
      await new Promise(() => undefined)
    }
    const { value } = await readEvents(never(), 'pipe').next()
    expect(value.line, text).toBe(1)
  }
})

test('a large input passes in a stream', async () => {
  const file = join(temporaryDirectory(), 'events.gz')
  writeFileSync(file, gzipSync(Buffer.alloc(80_000_000, `{"data":"${'x'.repeat(88)}"}\n`)))
  const before = process.memoryUsage().rss
  let events = 0
  let peak = 0
  for await (const { bytes } of readEvents(createReadStream(file), file)) {
    if (bytes?.length === 99) events += 1
    if (events % 10_000 === 0) peak = Math.max(peak, process.memoryUsage().rss)
  }
  expect(events).toBe(800_000)
  expect(peak - before).toBeLessThan(70_000_000)
})
