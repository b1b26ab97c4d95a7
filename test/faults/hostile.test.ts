/** Clients that mean harm, against the real listener: requests with two readings, headers without end, bombs. */
import { readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import zlib from 'node:zlib'
import { expect, test } from 'vitest'
import { startLoad } from '../support/load.ts'
import { caughtUp, deliveredIn, expectConserved, post, type Service, startService } from '../support/service.ts'
import { temporaryDirectory } from '../support/temporary.ts'

const MIB = 2 ** 20
const GIB = 2 ** 30

/** Sends bytes as they are; what came back when the other side closed, or after a second of silence. */
function raw({ url }: Service, bytes: string): Promise<{ answer: string; closed: boolean }> {
  return new Promise((resolve) => {
    const socket = connect(Number(new URL(url).port), '127.0.0.1', () => socket.write(bytes, 'latin1'))
    let answer = ''
    const end = (closed: boolean) => {
      socket.destroy()
      resolve({ answer, closed })
    }
    socket.setTimeout(1000, () => end(false))
    socket.setEncoding('latin1').on('data', (text) => {
      answer += text
    })
    socket.on('close', () => end(true)).on('error', () => end(true))
  })
}

const HEAD = 'POST /v1/events HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n'
const event = (id: string) => `{"id":"${id}","data":1}`
/** What must never become a request of its own. */
const smuggled = `${HEAD}content-length: ${event('smuggled').length}\r\n\r\n${event('smuggled')}`
const chunk = (text: string) => `${text.length.toString(16)}\r\n${text}\r\n`

const CASES: readonly (readonly [string, string])[] = [
  ['length, then chunked', `${HEAD}content-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n${smuggled}`],
  ['chunked, then length', `${HEAD}transfer-encoding: chunked\r\ncontent-length: 999\r\n\r\n0\r\n\r\n${smuggled}`],
  ['two codings', `${HEAD}transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n\r\n0\r\n\r\n${smuggled}`],
  ['a coding with a tab before it', `${HEAD}transfer-encoding:\tchunked, x\r\n\r\n0\r\n\r\n${smuggled}`],
  ['a coding that is nearly chunked', `${HEAD}transfer-encoding: xchunked\r\n\r\n0\r\n\r\n${smuggled}`],
  ['a space before the colon', `${HEAD}transfer-encoding : chunked\r\n\r\n0\r\n\r\n${smuggled}`],
  ['a coding behind a line that is folded', `${HEAD}transfer-encoding:\r\n chunked\r\n\r\n0\r\n\r\n${smuggled}`],
  ['two lengths', `${HEAD}content-length: 0\r\ncontent-length: 10\r\n\r\n${smuggled}`],
  ['the same length twice', `${HEAD}content-length: 0\r\ncontent-length: 0\r\n\r\n${smuggled}`],
  ['two lengths in one header', `${HEAD}content-length: 0, 10\r\n\r\n${smuggled}`],
  ['a negative length', `${HEAD}content-length: -1\r\n\r\n${smuggled}`],
  ['a length with a sign', `${HEAD}content-length: +0\r\n\r\n${smuggled}`],
  ['a length in hexadecimal', `${HEAD}content-length: 0x0\r\n\r\n${smuggled}`],
  ['a length beyond all numbers', `${HEAD}content-length: 99999999999999999999\r\n\r\n${smuggled}`],
  ['bare line feeds', `${HEAD.replaceAll('\r\n', '\n')}content-length: 0\n\n${smuggled}`],
  ['a bare carriage return in a header', `${HEAD}x: a\rcontent-length: 0\r\n\r\n${smuggled}`],
  ['a NUL in a header', `${HEAD}x: a\0b\r\ncontent-length: 0\r\n\r\n${smuggled}`],
  ['a chunk whose size is negative', `${HEAD}transfer-encoding: chunked\r\n\r\n-1\r\n\r\n${smuggled}`],
  ['a chunk whose size overflows', `${HEAD}transfer-encoding: chunked\r\n\r\n10000000000000000\r\n\r\n${smuggled}`],
  [
    'a chunk extension without end',
    `${HEAD}transfer-encoding: chunked\r\n\r\n0;${'a'.repeat(20_000)}\r\n\r\n${smuggled}`,
  ],
  ['a chunk that ends in a line feed', `${HEAD}transfer-encoding: chunked\r\n\r\n1\r\n{\n0\r\n\r\n${smuggled}`],
  ['something behind a malformed request', `NONSENSE\r\n\r\n${smuggled}`],
]

test('requests with two readings: refused and closed, and nothing inside them is ever an event', async () => {
  const directory = temporaryDirectory()
  const service = await startService(directory)
  for (const [name, bytes] of CASES) {
    const { answer, closed } = await raw(service, bytes)
    expect(answer, name).toMatch(/^HTTP\/1\.1 (4\d\d|501) /)
    expect(answer.match(/HTTP\/1\.1/g), `${name}: ${answer}`).toHaveLength(1)
    expect(closed, name).toBe(true)
  }
  // One reading only: the body is what its length says, and the request behind it is one in its own right.
  const inside = JSON.stringify({ id: 'outer', data: smuggled })
  const { answer } = await raw(service, `${HEAD}content-length: ${inside.length}\r\n\r\n${inside}`)
  expect(answer).toMatch(/^HTTP\/1\.1 202 /)
  const pieces = chunk(inside.slice(0, 40)) + chunk(inside.slice(40))
  expect((await raw(service, `${HEAD}transfer-encoding: chunked\r\n\r\n${pieces}0\r\n\r\n`)).answer).toMatch(/ 202 /)
  const malformed = `${HEAD}content-length: 1\r\n\r\n{`
  const second = `${HEAD}content-length: ${event('second').length}\r\n\r\n${event('second')}`
  expect((await raw(service, malformed + second)).answer.match(/HTTP\/1\.1 \d+/g)).toEqual([
    'HTTP/1.1 400',
    'HTTP/1.1 202',
  ])
  await caughtUp(service, ['file'])
  await expectConserved(service, ['file'])
  expect(await service.stop()).toBe(0)
  const ids = deliveredIn(join(directory, 'data/delivered')).map(({ id }) => id)
  expect(ids).toEqual(['outer', 'outer', 'second'])
  console.error(`  ${CASES.length} requests with two readings: all refused and closed, 0 events smuggled`)
}, 120_000)

test('headers: too many, or too large, are refused or cut off, and others are served', async () => {
  const service = await startService(temporaryDirectory())
  const body = `content-length: ${event('a').length}\r\n\r\n${event('a')}`
  const large = await raw(service, `${HEAD}x: ${'y'.repeat(17_000)}\r\n${body}`)
  expect([large.answer.slice(0, 12), large.closed]).toEqual(['HTTP/1.1 431', true])
  const many = Array.from({ length: 3000 }, (_, at) => `x${at}: 1\r\n`).join('')
  const { answer } = await raw(service, HEAD + many + body)
  expect(answer).toMatch(/^HTTP\/1\.1 431/)
  expect(
    (await raw(service, `POST /v1/events?${'a'.repeat(20_000)} HTTP/1.1\r\nhost: localhost\r\n${body}`)).answer,
  ).toMatch(/ 431 /)
  expect((await post(service, { data: 1 })).status).toBe(202)
  expect(await service.stop()).toBe(0)
})

/** 1 GiB of spaces in a thousandth of that or less, made piece by piece. */
async function bomb(stream: zlib.Gzip | zlib.BrotliCompress | zlib.ZstdCompress): Promise<Buffer<ArrayBuffer>> {
  const piece = Buffer.alloc(16 * MIB, 0x20)
  const made: Buffer[] = []
  stream.on('data', (bytes: Buffer) => made.push(bytes))
  for (let bytes = 0; bytes < GIB; bytes += piece.length) {
    await new Promise<void>((resolve) => stream.write(piece, () => resolve()))
  }
  await new Promise<void>((resolve) => stream.on('end', resolve).end())
  return Buffer.concat(made)
}

test('bombs in every encoding: 413, memory stays bounded, and others are served meanwhile', async () => {
  const service = await startService(temporaryDirectory())
  const brotli = { params: { [zlib.constants.BROTLI_PARAM_QUALITY]: 5, [zlib.constants.BROTLI_PARAM_LGWIN]: 24 } }
  const bombs = {
    gzip: await bomb(zlib.createGzip({ level: 9 })),
    deflate: await bomb(zlib.createDeflate({ level: 9 })),
    br: await bomb(zlib.createBrotliCompress(brotli)),
    zstd: await bomb(zlib.createZstdCompress()),
  }
  const rssMib = () =>
    Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${service.process.pid}/status`, 'utf8'))?.[1]) / 1024
  await post(service, { data: 1 })
  const load = startLoad(service.url, { connections: 4, batch: 1, pauseMs: 5 })
  const figures: string[] = []
  for (const [encoding, bytes] of Object.entries(bombs)) {
    // What the limit of a body lets in at all: cut, it still inflates to far more than that.
    const body = bytes.subarray(0, MIB)
    const answers = await Promise.all(
      Array.from({ length: 32 }, () =>
        fetch(`${service.url}/v1/events`, {
          method: 'POST',
          headers: { 'content-type': 'application/json', 'content-encoding': encoding },
          body,
        }),
      ),
    )
    expect([...new Set(answers.map(({ status }) => status))], encoding).toEqual([413])
    figures.push(`${encoding} ${Math.round(body.length / 1024)} KiB`)
  }
  await sleep(200)
  await load.stop()
  expect([...load.statuses.keys()]).toEqual([202])
  const peak = rssMib()
  expect(peak).toBeLessThan(250)
  await caughtUp(service, ['file'])
  await expectConserved(service, ['file'])
  expect(await service.stop()).toBe(0)
  console.error(
    `  32 bombs of 1 GiB each as ${figures.join(', ')}: all 413; at most ${Math.round(peak)} MiB; meanwhile ${load.acknowledged.size} events, slowest ${Math.round(load.slowestMs)} ms`,
  )
}, 180_000)
