/** Whatever stands in the environment, on the command line or on the disk: an answer soon, in words, never a stack. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import fc from 'fast-check'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { list } from '../../app/cli/dlq.ts'
import { inspect, repair, replay, verify } from '../../app/cli/log.ts'
import { send } from '../../app/cli/send.ts'
import { loadConfig, VARIABLES } from '../../app/config.ts'
import { REPLAY_CONSUMER } from '../../app/delivery/dead-letters.ts'
import { MillraceError } from '../../app/errors.ts'
import { EmbeddedLog } from '../../app/log/embedded/embedded-log.ts'
import { encodeSegmentHeader, segmentName, writeGroupHeader } from '../../app/log/embedded/format.ts'
import { printableLines } from '../../app/process/printable.ts'
import { Known } from '../../app/write.ts'
import { startHttp } from '../support/http.ts'
import { CLI } from '../support/service.ts'
import { temporaryDirectory } from '../support/temporary.ts'

const RUNS = Number(process.env.MILLRACE_FUZZ_RUNS ?? 2000)
/** Of what is done; a machine that others use may take some times as long. */
const MAX_MS = 1000
const NOISE = 5

afterEach(() => void vi.restoreAllMocks())

function silence(): void {
  vi.spyOn(process.stdout, 'write').mockReturnValue(true)
  vi.spyOn(process.stderr, 'write').mockReturnValue(true)
}

/** An operator is told in one line, or it works; anything else that is thrown is a bug. */
async function expectWords(what: string, run: () => Promise<unknown>): Promise<void> {
  const startedAt = performance.now()
  try {
    expect(typeof (await run()), what).toBe('boolean')
  } catch (error) {
    if (!(error instanceof MillraceError)) throw error
    expect(error.message, what).not.toMatch(/\n/)
  }
  expect(performance.now() - startedAt, what).toBeLessThan(NOISE * MAX_MS)
}

const names = Object.keys(VARIABLES)
const value = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.string({ maxLength: 3 }),
  fc.integer().map(String),
  fc.constantFrom('true', '1e3', ' 1', '-0', '0x10', 'file,http', 'a:b', '\n', 'a\nb', '::', 'http://', 'kafka', 's3'),
)

test('property: any environment is a configuration, or is refused in one line that names a variable', () => {
  let refused = 0
  fc.assert(
    fc.property(fc.dictionary(fc.constantFrom(...names), value, { minKeys: 1, maxKeys: 4 }), (environment) => {
      try {
        expect(Object.isFrozen(loadConfig(environment))).toBe(true)
      } catch (error) {
        if (!(error instanceof MillraceError)) throw error
        refused += 1
        expect(error.code).toBe('CONFIG_INVALID')
        expect(names).toContain(/^(\w+): [^\n\r]+$/.exec(error.message)?.[1])
      }
    }),
    { numRuns: RUNS },
  )
  expect(refused).toBeGreaterThan(RUNS / 4)
})

/** A segment that may be sound in every checksum and still say impossible things. */
const segment = fc
  .record({
    baseOffset: fc.nat(40),
    groups: fc.array(
      fc.record({
        lines: fc.array(fc.json({ maxDepth: 2 }), { maxLength: 4 }),
        offset: fc.option(fc.nat(Number.MAX_SAFE_INTEGER)),
        at: fc.oneof(fc.constant(1_700_000_000_000), fc.nat(Number.MAX_SAFE_INTEGER)),
      }),
      { maxLength: 4 },
    ),
    spoil: fc.option(fc.tuple(fc.nat(), fc.uint8Array({ maxLength: 60 }))),
  })
  .map(({ baseOffset, groups, spoil }) => {
    let next = baseOffset
    const parts = groups.map(({ lines, offset, at }) => {
      const payload = Buffer.from(lines.map((line) => `${line}\n`).join(''))
      const group = Buffer.concat([Buffer.alloc(48), payload])
      const place = { baseOffset: offset ?? next, appendedAtMs: at, known: Known.NOTHING }
      writeGroupHeader(group, 0, { payloadBytes: payload.length, count: lines.length, ...place })
      next += lines.length
      return group
    })
    const whole = Buffer.concat([encodeSegmentHeader('0'.repeat(32), baseOffset, 0), ...parts])
    if (spoil === null) return whole
    const place = spoil[0] % (whole.length + 1)
    return Buffer.concat([whole.subarray(0, place), spoil[1], whole.subarray(place + 7)])
  })
const bytes = fc.oneof(
  fc.uint8Array({ maxLength: 300 }).map((random) => Buffer.from(random)),
  fc.json().map((json) => Buffer.from(json)),
  fc
    .record({ version: fc.constantFrom(1, 2, 'x'), id: fc.constantFrom('0'.repeat(36), 7), consumers: fc.object() })
    .map((content) => Buffer.from(JSON.stringify(content))),
  segment,
)
const content = fc.dictionary(
  fc.oneof(
    fc.nat(40).map(segmentName),
    fc.constantFrom('log.json', 'consumers.json', 'lock', 'reserve', 'quarantine', 'note.txt'),
    fc.constantFrom(`${'9'.repeat(20)}.seg`, `${'0'.repeat(19)}1.idx`, `${'0'.repeat(20)}.seg`),
  ),
  bytes,
  { minKeys: 1, maxKeys: 5 },
)

describe('a directory of anything', () => {
  test('a sound group in the log of dead letters that holds none is shown as it is', async () => {
    const root = temporaryDirectory()
    const dir = join(root, 'data/dead-letters/http')
    const log = await EmbeddedLog.open({ directory: dir, segmentBytes: 65_536, maxBytes: 1e9, retentionMs: 1e9 })
    await log.consumer(REPLAY_CONSUMER)
    for (const text of ['no JSON', '7', '{"a":1}', '']) await log.append([{ payload: Buffer.from(text), count: 1 }])
    await log.close()
    const printed: string[] = []
    vi.spyOn(process.stdout, 'write').mockImplementation((line) => printed.push(String(line)) > 0)
    await list({ dataDirectory: join(root, 'data'), limit: 10 })
    expect(printed.join('')).toBe(
      ['{"unreadable":"no JSON"}', '{"unreadable":"7"}', '{"a":1}', '{"unreadable":""}']
        .map((what) => `http  no dead letter: ${what}\n`)
        .join(''),
    )
  })

  test('property: log inspect, verify, repair and replay, and dlq list, answer; what is repaired can be opened', async () => {
    const root = temporaryDirectory()
    silence()
    let opened = 0
    await fc.assert(
      fc.asyncProperty(content, fc.nat(50), async (files, from) => {
        const dir = join(root, 'data/dead-letters/http')
        rmSync(dir, { recursive: true, force: true })
        mkdirSync(dir, { recursive: true })
        for (const [name, body] of Object.entries(files)) writeFileSync(join(dir, name), body)
        const letters = { dataDirectory: join(root, 'data'), limit: 10 }
        await expectWords('inspect', () => inspect({ dir, from, groups: 5, events: true }))
        await expectWords('verify', () => verify({ dir }))
        await expectWords('replay', () => replay({ dir, from, to: from + 10 }))
        await expectWords('dlq list', () => list(letters))
        await expectWords('dlq list --json', () => list({ ...letters, sink: 'http', json: true }))
        await expectWords('repair', () => repair({ dir, yes: false }))
        await expectWords('repair --yes', () => repair({ dir, yes: true }))
        await expectWords('open', async () => {
          const log = await EmbeddedLog.open({ directory: dir, segmentBytes: 65_536, maxBytes: 1e9, retentionMs: 1e9 })
          opened += 1
          await log.close()
          return true
        })
      }),
      { numRuns: Math.ceil(RUNS / 25) },
    )
    expect(opened).toBeGreaterThan(RUNS / 25 / 4)
  })

  test('property: send takes a file of anything, and counts what was not accepted', async () => {
    const http = await startHttp()
    const file = join(temporaryDirectory(), 'events')
    silence()
    const options = { file, url: http.url, count: 1, rate: 0, batch: 5, maxBytes: 2 ** 20, concurrency: 2, quiet: true }
    await fc.assert(
      fc.asyncProperty(bytes, async (body) => {
        writeFileSync(file, body)
        await expectWords('send', () => send(options))
      }),
      { numRuns: Math.ceil(RUNS / 25) },
    )
  })
})

/** An event of an input: what is sent, and whether it is one that is taken. */
const sentLine = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.json({ maxDepth: 1 }).map((data) => ({ bytes: Buffer.from(`{"data":${data}}`), isGood: true })),
  },
  fc
    .constantFrom('{"dat":1}', '7', '[]', '{"data":', 'null', '{"data":1}}')
    .map((text) => ({ bytes: Buffer.from(text), isGood: false })),
  fc.constant({ bytes: Buffer.from('{"data":"caf\u00e9"}', 'latin1'), isGood: false }),
  fc.constant({ bytes: Buffer.from(`{"data":"${'x'.repeat(3000)}"}`), isGood: false }),
)

test('property: what send counts as accepted is stored, unchanged and once, and every other event is named by its line', async () => {
  const http = await startHttp({ MAX_BODY_BYTES: '2048', MAX_REQUEST_EVENTS: '7' })
  const file = join(temporaryDirectory(), 'events')
  const [printed, said] = [[] as string[], [] as string[]]
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => printed.push(String(text)) > 0)
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => said.push(String(text)) > 0)
  const pack = fc.constantFrom(
    (bytes: Buffer) => bytes,
    gzipSync,
    (bytes: Buffer) => zstdCompressSync(bytes),
  )
  const limits = { batch: fc.integer({ min: 1, max: 30 }), maxBytes: fc.constantFrom(100, 2048, 2 ** 20) }
  let before = 0
  await fc.assert(
    fc.asyncProperty(
      fc.array(sentLine, { minLength: 1, maxLength: 40 }),
      pack,
      fc.record(limits),
      async (lines, pack, limits) => {
        // The first one says that these are lines.
        const all = [{ bytes: Buffer.from('{"data":"first"}'), isGood: true }, ...lines]
        writeFileSync(file, pack(Buffer.concat(all.flatMap(({ bytes }) => [bytes, Buffer.from('\n')]))))
        printed.length = 0
        said.length = 0
        const options = { file, url: http.url, count: 1, rate: 0, concurrency: 2, quiet: true, ...limits }
        const good = all.filter(({ isGood }) => isGood)
        const bad = all.flatMap(({ isGood }, at) => (isGood ? [] : [at + 1]))
        expect(await send(options)).toBe(bad.length === 0)
        expect(printed[0]).toMatch(new RegExp(`^accepted ${good.length}, rejected ${bad.length}, failed 0;`))
        const named = said.map((line) => Number(/^line (\d+): /.exec(line)?.[1])).filter((line) => line > 0)
        expect(named).toEqual(bad.slice(0, 20))
        const stored = (await http.stored()).slice(before)
        before += stored.length
        expect(stored.sort()).toEqual(good.map(({ bytes }) => bytes.toString()).sort())
      },
    ),
    { numRuns: Math.ceil(RUNS / 40) },
  )
}, 60_000)

const argument = fc.oneof(
  fc.constantFrom('log', 'dlq', 'config', 'plan', 'send', 'handler', 'test', 'inspect', 'verify', 'repair', 'replay'),
  fc.constantFrom(
    'list',
    '--dir',
    '--from',
    '--to',
    '--groups',
    '--json',
    '--limit',
    '--sink',
    '--check',
    '-n',
    '--url',
  ),
  fc.constantFrom('--admin', 'http://[::1]:1', '--max-bytes', '\u001b[2J', '\u009b1m', '\u202e', '--sink=\u001b[31m'),
  fc.constantFrom('--', '-', '-1', '1e9', '/dev/null', '/proc/self', '..', '--yes=1', 'constructor', '__proto__', ''),
  fc.string({ unit: 'binary-ascii' }).map((text) => text.replaceAll('\0', '')),
)

test('property: any command line ends by itself with 0, 1 or 2, and says something', async () => {
  const cwd = temporaryDirectory()
  const run = async (args: string[]) => {
    const child = spawn(process.execPath, [CLI, ...args], {
      cwd,
      env: { PATH: process.env.PATH, PORT: '1' },
      stdio: 'pipe',
    })
    const timer = setTimeout(() => child.kill('SIGKILL'), 20_000)
    let output = ''
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text) => (output += text))
    child.stdin.end()
    const [code] = await once(child, 'close')
    clearTimeout(timer)
    expect([0, 1, 2], `${JSON.stringify(args)}: ${output}`).toContain(code)
    expect(output, JSON.stringify(args)).not.toMatch(/^\s+at .*:\d+:\d+\)?$/m)
    expect(printableLines(output), JSON.stringify(args)).toBe(output)
    if (code !== 0) expect(output, JSON.stringify(args)).not.toBe('')
  }
  const all = fc.sample(fc.array(argument, { maxLength: 6 }), Math.ceil(RUNS / 200))
  for (let at = 0; at < all.length; at += 2) await Promise.all(all.slice(at, at + 2).map(run))
}, 60_000)

test('send says at once what is no address', async () => {
  silence()
  const options = { url: 'nonsense', count: 1, rate: 0, batch: 1, maxBytes: 2 ** 20, concurrency: 1, quiet: true }
  await expect(send(options)).rejects.toMatchObject({ code: 'CONFIG_INVALID', message: expect.stringMatching(/--url/) })
})
