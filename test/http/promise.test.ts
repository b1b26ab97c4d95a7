/**
 * What 202 promises: accepted and rejected are the events of the body, and what is stored is what was sent. For bodies
 * in every format and every encoding, whole, damaged, or put together from several.
 */
import zlib from 'node:zlib'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { MillraceError } from '../../app/errors.ts'
import { readBody } from '../../app/http/body.ts'
import { inflate } from '../../app/http/inflate.ts'
import { atMost } from '../support/events.ts'
import { headersOf } from '../support/http.ts'

const MAX_BYTES = 1024 * 1024
const MAX_EVENTS = 1000
const ENCODERS = {
  identity: (bytes: Buffer) => bytes,
  gzip: (bytes: Buffer) => zlib.gzipSync(bytes),
  deflate: (bytes: Buffer) => zlib.deflateSync(bytes),
  br: (bytes: Buffer) => zlib.brotliCompressSync(bytes),
  zstd: (bytes: Buffer) => zlib.zstdCompressSync(bytes, { params: { [zlib.constants.ZSTD_c_checksumFlag]: 1 } }),
}
type Encoding = keyof typeof ENCODERS
/** Of these, one stream may follow another. */
const JOINABLE: readonly Encoding[] = ['identity', 'gzip', 'zstd']

const good = fc
  .record({ data: fc.jsonValue({ maxDepth: 2 }), subject: fc.constantFrom('a', 'é', '日本') })
  .map((event) => JSON.stringify(event))
const bad = fc.constantFrom('{"id":1}', '7', '{"data":1,"Upper":1}', '{"data":1,"time":"24:00"}')
const events = fc.array(fc.oneof({ weight: 4, arbitrary: good }, { weight: 1, arbitrary: bad }), {
  minLength: 1,
  maxLength: 12,
})
const format = fc.constantFrom('application/json', 'application/x-ndjson')
const encoding = fc.constantFrom(...(Object.keys(ENCODERS) as Encoding[]))
const isBad = (text: string) => /^(7|\{"id":1\}|\{"data":1,"(Upper|time)")/.test(text)

async function take(body: Buffer, type: string, name: Encoding) {
  const { payload, count, rejected } = readBody(
    await inflate(name, body, MAX_BYTES),
    headersOf({ 'content-type': type }),
    atMost(MAX_EVENTS),
  )
  return { stored: count === 0 ? [] : payload.toString().split('\n'), rejected }
}

/** Refused for good, by the rules of the door, or undefined. */
async function unlessRefused<T>(taken: Promise<T>): Promise<T | undefined> {
  try {
    return await taken
  } catch (error) {
    if (error instanceof MillraceError && error.status >= 400 && error.status < 500) return undefined
    throw error
  }
}

function expectAll(taken: Awaited<ReturnType<typeof take>> | undefined, sent: readonly string[]): void {
  const accepted = sent.filter((text) => !isBad(text))
  if (taken === undefined) {
    expect(accepted).toEqual([])
    return
  }
  expect(taken.stored.map((text) => JSON.parse(text))).toEqual(accepted.map((text) => JSON.parse(text)))
  expect(taken.rejected.map(({ index }) => index)).toEqual(sent.flatMap((text, index) => (isBad(text) ? [index] : [])))
}

const bodyOf = (texts: readonly string[], type: string) =>
  Buffer.from(type === 'application/json' ? `[${texts.join(',')}]` : `${texts.join('\n')}\n`)

test('property: whole bodies, in one stream or in several', async () => {
  await fc.assert(
    fc.asyncProperty(
      events,
      format,
      encoding,
      fc.array(fc.double({ min: 0, max: 1, noNaN: true })),
      async (...args) => {
        const [texts, type, name, places] = args
        const body = bodyOf(texts, type)
        expectAll(await unlessRefused(take(ENCODERS[name](body), type, name)), texts)
        if (!JOINABLE.includes(name)) return
        const cuts = [0, ...places.map((place) => Math.floor(place * body.length)).sort((a, b) => a - b), body.length]
        const parts = cuts.slice(1).map((cut, at) => ENCODERS[name](body.subarray(cuts[at], cut)))
        expectAll(await unlessRefused(take(Buffer.concat(parts), type, name)), texts)
      },
    ),
    { numRuns: 300 },
  )
})

test('property: damaged bodies are refused, or all that is left of them is accounted for', async () => {
  const damage = fc.record({
    kind: fc.constantFrom('cut', 'append', 'double', 'flip'),
    place: fc.nat(),
    byte: fc.nat(255),
  })
  await fc.assert(
    fc.asyncProperty(events, encoding, damage, async (texts, name, { kind, place, byte }) => {
      const whole = ENCODERS[name](bodyOf(texts, 'application/x-ndjson'))
      const at = place % whole.length
      const bytes = {
        cut: () => whole.subarray(0, at),
        append: () => Buffer.concat([whole, Buffer.from([byte])]),
        double: () => Buffer.concat([whole, whole]),
        flip: () =>
          Buffer.concat([whole.subarray(0, at), Buffer.from([(whole[at] ?? 0) ^ (byte || 1)]), whole.subarray(at + 1)]),
      }[kind]()
      const taken = await unlessRefused(take(Buffer.from(bytes), 'application/x-ndjson', name))
      if (kind === 'double' && JOINABLE.includes(name)) expectAll(taken, [...texts, ...texts])
      else if (name === 'identity') {
        // Nothing tells a text that is cut or changed; what is there is counted.
        if (taken === undefined) return
        const lines = bytes
          .toString()
          .split('\n')
          .filter((line) => /[^ \t\r]/.test(line)) // blank: white space of JSON
        expect(taken.stored.length + taken.rejected.length).toBe(lines.length)
      }
      // A flipped bit of a header that says nothing (the time, the name of the system) changes nothing.
      else if (kind === 'flip' && taken !== undefined && name !== 'br') expectAll(taken, texts)
      else if (kind !== 'flip') expect(taken).toBeUndefined()
    }),
    { numRuns: 600 },
  )
})
