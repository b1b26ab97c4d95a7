import zlib from 'node:zlib'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { inflate } from '../../app/http/inflate.ts'

const MAX_BYTES = 1024 * 1024
const ENCODERS: Readonly<Record<string, (text: Buffer) => Buffer>> = {
  gzip: zlib.gzipSync,
  deflate: zlib.deflateSync,
  'deflate, bare': zlib.deflateRawSync,
  br: zlib.brotliCompressSync,
  zstd: zlib.zstdCompressSync,
}
const CHECKED_ZSTD = { params: { [zlib.constants.ZSTD_c_checksumFlag]: 1 } }
const encodingOf = (name: string) => name.split(',')[0] ?? ''
const decoded = async (name: string, body: Buffer) => (await inflate(encodingOf(name), body, MAX_BYTES)).toString()
const lines = (from: number, to: number) =>
  Buffer.from(Array.from({ length: to - from }, (_, at) => `{"data":${from + at}}\n`).join(''))

function skippable(type: number, content: Buffer): Buffer {
  const header = Buffer.alloc(8)
  header.writeUInt32LE(0x184d2a50 + type, 0)
  header.writeUInt32LE(content.length, 4)
  return Buffer.concat([header, content])
}

describe.each(Object.entries(ENCODERS))('%s', (name, encode) => {
  const text = lines(0, 40)
  const body = encode(text)

  test('cut short at any byte: refused', async () => {
    for (let end = 0; end < body.length; end++) {
      const cut = body.subarray(0, end)
      // Nothing at all is an empty zstd body: no frames.
      if (end === 0 && name === 'zstd') expect(await decoded(name, cut)).toBe('')
      else await expect(decoded(name, cut), `cut at ${end}`).rejects.toMatchObject({ code: 'MALFORMED' })
    }
  })

  test.each([
    ['one byte', Buffer.from('x')],
    ['a zero', Buffer.alloc(1)],
    ['zeros', Buffer.alloc(512)],
    ['text', Buffer.from('{"data":1}\n')],
    ['half a stream', body.subarray(0, body.length - 1)],
    ['another encoding', zlib.deflateSync(text)],
  ])('%s behind its end: refused', async (_, more) => {
    // A whole stream of its own encoding is no garbage: zstd and gzip take it, and the others have a test of their own.
    if (name === 'deflate' && more.equals(zlib.deflateSync(text))) return
    await expect(decoded(name, Buffer.concat([body, more]))).rejects.toMatchObject({ code: 'MALFORMED' })
  })

  test('flushed and never ended: refused', async () => {
    const streams = {
      gzip: () => zlib.createGzip(),
      deflate: () => zlib.createDeflate(),
      'deflate, bare': () => zlib.createDeflateRaw(),
      br: () => zlib.createBrotliCompress(),
      zstd: () => zlib.createZstdCompress(),
    }
    const stream = streams[name as keyof typeof streams]()
    const chunks: Buffer[] = []
    stream.on('data', (chunk: Buffer) => chunks.push(chunk))
    stream.write(text)
    await new Promise<void>((resolve) => stream.flush(() => resolve()))
    stream.destroy()
    expect(chunks.length).toBeGreaterThan(0)
    await expect(decoded(name, Buffer.concat(chunks))).rejects.toMatchObject({ code: 'MALFORMED' })
  })

  test('beyond the limit: refused, however it is put together', async () => {
    const half = encode(Buffer.alloc(MAX_BYTES / 2 + 1))
    const whole = encode(Buffer.alloc(MAX_BYTES + 1))
    await expect(decoded(name, whole)).rejects.toMatchObject({ code: 'BODY_TOO_LARGE' })
    expect((await inflate(encodingOf(name), encode(Buffer.alloc(MAX_BYTES)), MAX_BYTES)).length).toBe(MAX_BYTES)
    if (name !== 'gzip' && name !== 'zstd') return
    await expect(decoded(name, Buffer.concat([half, half]))).rejects.toMatchObject({ code: 'BODY_TOO_LARGE' })
  })
})

test.each(['gzip', 'zstd'])('%s: streams one after the other are one body', async (name) => {
  const encode = ENCODERS[name] ?? zlib.gzipSync
  const parts = Array.from({ length: 8 }, (_, at) => encode(lines(1000 * at, 1000 * (at + 1))))
  expect(await decoded(name, Buffer.concat(parts))).toBe(lines(0, 8000).toString())
  expect(await decoded(name, Buffer.concat([encode(Buffer.alloc(0)), ...parts]))).toBe(lines(0, 8000).toString())
})

test.each(['deflate', 'deflate, bare', 'br'])('%s: a second stream is refused, not left out', async (name) => {
  const part = ENCODERS[name]?.(lines(0, 3)) ?? Buffer.alloc(0)
  await expect(decoded(name, Buffer.concat([part, part]))).rejects.toThrow(/ends at byte \d+, and \d+ more follow/)
})

describe('zstd frames', () => {
  const frame = zlib.zstdCompressSync(lines(0, 3))

  test.each(Array.from({ length: 16 }, (_, type) => type))('skippable frames of type %i hold nothing', async (type) => {
    const skipped = skippable(type, Buffer.from('not a frame: \x28\xb5\x2f\xfd', 'latin1'))
    const empty = skippable(type, Buffer.alloc(0))
    const body = Buffer.concat([skipped, frame, empty, skipped, frame, skipped])
    expect(await decoded('zstd', body)).toBe(Buffer.concat([lines(0, 3), lines(0, 3)]).toString())
    expect(await decoded('zstd', skipped)).toBe('')
    await expect(decoded('zstd', body.subarray(0, body.length - 1))).rejects.toMatchObject({ code: 'MALFORMED' })
  })

  test('with a checksum: taken when it matches, refused when not', async () => {
    const checked = zlib.zstdCompressSync(lines(0, 3), CHECKED_ZSTD)
    expect(await decoded('zstd', Buffer.concat([checked, frame]))).toBe(
      Buffer.concat([lines(0, 3), lines(0, 3)]).toString(),
    )
    const wrong = Buffer.concat([checked, frame])
    const at = checked.length - 1
    wrong[at] = (wrong[at] ?? 0) ^ 1
    await expect(decoded('zstd', wrong)).rejects.toMatchObject({ code: 'MALFORMED' })
  })

  test('one for each event of the largest request are taken; more are refused', async () => {
    const small = zlib.zstdCompressSync(Buffer.from('{"data":1}\n'))
    const many = Buffer.concat(new Array(10_000).fill(small))
    expect((await decoded('zstd', many)).length).toBe(10_000 * 11)
    await expect(decoded('zstd', Buffer.concat([many, small]))).rejects.toThrow(/more than 10000 frames/)
  })

  test('a dictionary that nobody has, and frames of before the standard: refused', async () => {
    const dictionary = Buffer.from(frame)
    dictionary[4] = (dictionary[4] ?? 0) | 1
    const withId = Buffer.concat([dictionary.subarray(0, 5), Buffer.from([7]), dictionary.subarray(5)])
    await expect(decoded('zstd', withId)).rejects.toMatchObject({ code: 'MALFORMED' })
    for (const first of [0x1e, 0x22, 0x25, 0x27]) {
      const old = Buffer.from(frame)
      old[0] = first
      await expect(decoded('zstd', old)).rejects.toThrow(/no frame begins at byte 0/)
    }
  })

  test('property: any frames, whole, are all read; damaged, nothing of them is lost without a word', async () => {
    const part = fc.oneof(
      fc.record({
        text: fc.string({ maxLength: 2000, unit: 'grapheme' }),
        checked: fc.boolean(),
        repeated: fc.nat({ max: 300 }),
      }),
      fc.record({ type: fc.nat({ max: 15 }), bytes: fc.uint8Array({ maxLength: 40 }) }),
    )
    await fc.assert(
      fc.asyncProperty(fc.array(part, { minLength: 1, maxLength: 6 }), fc.nat(), async (parts, damage) => {
        const contents = parts.map((one) => ('text' in one ? one.text.repeat(one.repeated) : ''))
        const frames = parts.map((one, at) =>
          'text' in one
            ? zlib.zstdCompressSync(Buffer.from(contents[at] ?? ''), one.checked ? CHECKED_ZSTD : {})
            : skippable(one.type, Buffer.from(one.bytes)),
        )
        const body = Buffer.concat(frames)
        expect((await inflate('zstd', body, 8 * MAX_BYTES)).toString()).toBe(contents.join(''))
        const cutAt = damage % body.length
        const wholeFrames = frames.map((_, at) => Buffer.concat(frames.slice(0, at + 1)).length)
        const cut = inflate('zstd', body.subarray(0, cutAt), 8 * MAX_BYTES)
        const frameAt = cutAt === 0 ? -1 : wholeFrames.indexOf(cutAt)
        if (cutAt === 0 || frameAt !== -1) expect((await cut).toString()).toBe(contents.slice(0, frameAt + 1).join(''))
        else await expect(cut).rejects.toMatchObject({ code: 'MALFORMED' })
      }),
      { numRuns: 60 },
    )
  })
})

test.each([
  ['', 'identity'],
  ['identity', 'identity'],
  ['Identity, , identity', 'identity'],
  [', GZIP ,', 'gzip'],
  ['identity, zstd', 'zstd'],
])('content-encoding %j is %s', async (header, name) => {
  const text = Buffer.from('{"data":1}')
  expect(await inflate(header, ENCODERS[name]?.(text) ?? text, MAX_BYTES)).toEqual(text)
})

test.each(['compress', 'aws-chunked', '__proto__', 'constructor', 'gzip, compress', 'constructor, br'])(
  'content-encoding %j is refused, and nothing of the body is decoded',
  async (header) => {
    await expect(inflate(header, zlib.brotliCompressSync('{"data":1}'), MAX_BYTES)).rejects.toMatchObject({
      code: 'UNSUPPORTED_ENCODING',
    })
  },
)

describe('several codings, in the order applied', () => {
  const names = ['gzip', 'x-gzip', 'deflate', 'br', 'zstd']
  const encode = (codings: readonly string[], text: Buffer) =>
    codings.reduce((bytes, name) => (ENCODERS[name.replace('x-', '')] ?? zlib.gzipSync)(bytes), text)

  test('property: one to three of them are undone from the last to the first', async () => {
    const codings = fc.array(fc.constantFrom(...names, 'identity'), { minLength: 1, maxLength: 3 })
    await fc.assert(
      fc.asyncProperty(codings, fc.nat({ max: 50 }), async (chosen, count) => {
        const text = lines(0, count)
        const applied = chosen.filter((name) => name !== 'identity')
        expect(await inflate(chosen.join(', '), encode(applied, text), MAX_BYTES)).toEqual(text)
      }),
      { numRuns: 60 },
    )
  })

  test('in the wrong order: refused with the coding that does not fit', async () => {
    const body = encode(['gzip', 'br'], lines(0, 3))
    await expect(inflate('br, gzip', body, MAX_BYTES)).rejects.toThrow(/not valid gzip .* in the order applied/)
  })

  test('more than three: refused before any is decoded', async () => {
    const four = ['gzip', 'gzip', 'gzip', 'gzip']
    const refused = inflate(four.join(','), encode(four, lines(0, 3)), MAX_BYTES)
    await expect(refused).rejects.toMatchObject({
      code: 'UNSUPPORTED_ENCODING',
      message: expect.stringMatching(/^4 content encodings, the limit is 3/),
    })
  })

  test('the limit holds at each stage: a bomb inside small bytes, and a bomb whose content is small', async () => {
    const bomb = encode(['gzip', 'br'], Buffer.alloc(64 * MAX_BYTES))
    expect(bomb.length).toBeLessThan(MAX_BYTES / 16)
    await expect(inflate('gzip, br', bomb, MAX_BYTES)).rejects.toMatchObject({ code: 'BODY_TOO_LARGE' })
    // A gzip stream that is long itself, and holds nothing: empty members.
    const hollow = zlib.brotliCompressSync(Buffer.concat(new Array(60_000).fill(zlib.gzipSync(''))))
    expect(hollow.length).toBeLessThan(MAX_BYTES / 16)
    await expect(inflate('gzip, br', hollow, MAX_BYTES)).rejects.toMatchObject({ code: 'BODY_TOO_LARGE' })
  })

  test('cut short at any byte: refused', async () => {
    const body = encode(['zstd', 'gzip'], lines(0, 40))
    for (let end = 0; end < body.length; end++) {
      await expect(inflate('zstd, gzip', body.subarray(0, end), MAX_BYTES), `cut at ${end}`).rejects.toMatchObject({
        code: 'MALFORMED',
      })
    }
  })
})
