/** Commands that read, on a directory that is not what they are for: they say so, exit 1, and leave everything as it is. */
import { chmodSync, chownSync, lstatSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { REPLAY_CONSUMER } from '../../app/delivery/dead-letters.ts'
import { EmbeddedLog } from '../../app/log/embedded/embedded-log.ts'
import { millrace } from '../support/millrace.ts'
import { temporaryDirectory } from '../support/temporary.ts'

/** Everything below a directory: names, contents, and when each was changed, directories too. */
function snapshot(directory: string): unknown[] {
  return ['.', ...readdirSync(directory, { recursive: true, encoding: 'utf8' })].sort().map((name) => {
    const path = join(directory, name)
    const stat = lstatSync(path)
    return [name, stat.mtimeMs, stat.ctimeMs, stat.mode, stat.isFile() ? readFileSync(path, 'base64') : '']
  })
}

async function writeLog(directory: string, payloads: readonly string[], consumer?: string): Promise<void> {
  const log = await EmbeddedLog.open({ directory, segmentBytes: 65_536, maxBytes: 1e9, retentionMs: 1e9 })
  if (consumer !== undefined) await log.consumer(consumer)
  for (const payload of payloads) await log.append([{ payload: Buffer.from(payload), count: 1 }])
  await log.close()
}

/** What the directories of other programs look like. */
const FOREIGN: Record<string, readonly string[]> = {
  'a directory of Kafka': ['meta.properties', 'events-0/00000000000000000000.log', 'events-0/leader-epoch-checkpoint'],
  'a directory of PostgreSQL': ['PG_VERSION', 'base/1', 'pg_wal/000000010000000000000001'],
  'a log.json of another program': ['log.json', 'notes.txt'],
  'the delivered files': ['current.ndjson'],
}

let cwd: string
beforeEach(() => {
  cwd = temporaryDirectory()
})

function make(directory: string, files: readonly string[]): void {
  for (const file of files) {
    mkdirSync(join(directory, file, '..'), { recursive: true })
    writeFileSync(join(directory, file), '{"not":"ours"}\n')
  }
}

const COMMANDS = [['verify'], ['inspect'], ['inspect', '--events'], ['repair'], ['repair', '--yes'], ['replay']]

describe.each(COMMANDS.map((command) => [command.join(' '), command] as const))('log %s', (_, command) => {
  const run = (dir: string, more = {}) => millrace(['log', ...command, '--dir', dir], { cwd, ...more })

  test.each(['empty', 'missing', 'a file', ...Object.keys(FOREIGN)])(
    '%s: exit code 1, what it is, nothing changed',
    async (kind) => {
      const dir = join(cwd, 'it')
      if (kind === 'a file') writeFileSync(dir, 'a file')
      else if (kind !== 'missing') mkdirSync(dir)
      make(dir, FOREIGN[kind] ?? [])
      const before = snapshot(cwd)
      const { code, stdout, stderr } = await run('it')
      expect([code, stdout]).toEqual([1, ''])
      const why =
        kind === 'empty' ? 'it is empty' : /missing|file$/.test(kind) ? 'cannot read it' : 'it holds no log of Millrace'
      expect(stderr).toMatch(new RegExp(`^millrace: ${why}.*: name the log directory with --dir\n$`))
      expect(snapshot(cwd)).toEqual(before)
    },
  )

  test('the data directory, which the log is in: it names the log', async () => {
    await writeLog(join(cwd, 'data/log'), ['{"data":1}'])
    const { code, stderr } = await run('data')
    expect([code, stderr]).toEqual([
      1,
      'millrace: data is a data directory: the log is in data/log: name that with --dir\n',
    ])
  })

  test('a log of a version to come is not called damaged', async () => {
    make(join(cwd, 'it'), ['note'])
    writeFileSync(join(cwd, 'it/log.json'), JSON.stringify({ version: 9, id: 'x'.repeat(36) }))
    const { code, stderr } = await run('it')
    expect([code, stderr]).toEqual([
      1,
      expect.stringMatching(/^millrace: it has format version 9; this Millrace reads/),
    ])
  })

  test.runIf(process.getuid?.() === 0)('a log that this user may only read: read, and nothing is touched', async () => {
    const dir = join(cwd, 'log')
    await writeLog(dir, ['{"data":1}', '{"data":2}'])
    chmodSync(cwd, 0o755)
    for (const name of readdirSync(dir)) chmodSync(join(dir, name), 0o444)
    chmodSync(dir, 0o555)
    const before = snapshot(cwd)
    const { code, stdout, stderr } = await run('log', { uid: 65_534 })
    expect([code, stderr, stdout === '']).toEqual([0, '', false])
    expect(snapshot(cwd)).toEqual(before)
    chmodSync(dir, 0o700)
    const refused = await run('log', { uid: 65_534 })
    expect([refused.code, refused.stderr]).toEqual([
      1,
      expect.stringMatching(/EACCES.*: run this as the user of the service/),
    ])
  })
})

test('repair of a sound log that was copied without its lock makes none', async () => {
  await writeLog(join(cwd, 'log'), ['{"data":1}'])
  rmSync(join(cwd, 'log/lock'))
  const before = snapshot(cwd)
  expect(await millrace(['log', 'repair', '--yes', '--dir', 'log'], { cwd })).toMatchObject({
    code: 0,
    stdout: 'nothing to repair\n',
  })
  expect(snapshot(cwd)).toEqual(before)
})

test('replay says what is not an event, and what is not there', async () => {
  await writeLog(join(cwd, 'data/log'), ['{"data":1}', '7', '{"data":2}'])
  const run = await millrace(['log', 'replay'], { cwd })
  expect([run.code, run.stdout.trimEnd().split('\n').length, run.stderr]).toEqual([
    1,
    2,
    'offset 1 holds no event: left out\n',
  ])
  const beyond = await millrace(['log', 'replay', '--from', '100'], { cwd })
  expect([beyond.code, beyond.stdout, beyond.stderr]).toEqual([
    0,
    '',
    expect.stringMatching(/^no event is stored from offset 100 on/),
  ])
  const reversed = await millrace(['log', 'replay', '--from', '2', '--to', '1'], { cwd })
  expect([reversed.code, reversed.stderr]).toEqual([2, expect.stringMatching(/--to 1 is before --from 2/)])
})

describe('dlq list', () => {
  const letter = (reason: string) =>
    JSON.stringify({
      event: { source: '/s', id: '1' },
      offset: 1,
      attempts: 3,
      reason,
      failedAt: '2026-01-01T00:00:00Z',
    })
  const run = (...args: string[]) => millrace(['dlq', 'list', ...args], { cwd })

  test.each(['empty', 'missing', 'a file', ...Object.keys(FOREIGN)])('a data directory that is %s', async (kind) => {
    const dir = join(cwd, 'data')
    if (kind === 'a file') writeFileSync(dir, 'a file')
    else if (kind !== 'missing') mkdirSync(dir)
    make(dir, FOREIGN[kind] ?? [])
    const before = snapshot(cwd)
    const { code, stdout, stderr } = await run()
    expect([code, stdout, stderr]).toEqual([
      1,
      '',
      expect.stringMatching(
        /^millrace: (\.\/data is not a data directory of Millrace|cannot read \S*data).*: name the data directory with DATA_DIR/,
      ),
    ])
    expect(snapshot(cwd)).toEqual(before)
  })

  test('a service without any, a sink without any, and a sink that is not there', async () => {
    await writeLog(join(cwd, 'data/log'), ['{"data":1}'])
    expect(await run()).toMatchObject({ code: 0, stdout: 'no dead letters in data/dead-letters\n' })
    await writeLog(join(cwd, 'data/dead-letters/http'), [], REPLAY_CONSUMER)
    expect(await run('--sink', 'http')).toMatchObject({
      code: 0,
      stdout: 'no dead letters of http in data/dead-letters\n',
    })
    for (const sink of ['kafka', '../log', '', '.', '\u001b[2J']) {
      const { code, stdout, stderr } = await run('--sink', sink)
      expect([code, stdout, stderr], sink).toEqual([
        1,
        '',
        expect.stringMatching(/has no dead letters in .*: use one of http\n$/),
      ])
    }
  })

  test('progress that is damaged hides no letter, and a damaged letter is said', async () => {
    const dir = join(cwd, 'data/dead-letters/http')
    await writeLog(dir, [letter('first'), letter('second')], REPLAY_CONSUMER)
    writeFileSync(join(dir, 'consumers.json'), 'noise')
    const unknown = await run()
    expect([unknown.code, unknown.stdout.trimEnd().split('\n').length, unknown.stderr]).toEqual([
      1,
      2,
      expect.stringMatching(/consumers\.json is damaged/),
    ])
    rmSync(join(dir, 'consumers.json'))
    expect(await run()).toMatchObject({ code: 0, stderr: '' })
    const segment = join(dir, `${'0'.repeat(20)}.seg`)
    const bytes = readFileSync(segment)
    bytes[bytes.indexOf('first')] = 0x58
    writeFileSync(segment, bytes)
    const damaged = await run()
    expect([damaged.code, damaged.stdout, damaged.stderr]).toEqual([
      1,
      expect.stringMatching(/second\n$/),
      expect.stringMatching(/is damaged at \d+: checksum/),
    ])
  })

  test('what a receiver has answered does nothing to the terminal, as text, as JSON and in the log', async () => {
    const nasty = '\u001b]0;owned\u0007\u009b31m\u007f\u202egnp.\u2066\r\u001b[2Kdone'
    const event = { source: nasty, id: nasty, data: nasty }
    const payload = JSON.stringify({ event, offset: 1, attempts: 3, reason: nasty, failedAt: '2026-01-01T00:00:00Z' })
    await writeLog(join(cwd, 'data/dead-letters/http'), [payload, JSON.stringify({ reason: nasty })], REPLAY_CONSUMER)
    const text = await run()
    const json = await run('--json')
    const inspected = await millrace(['log', 'inspect', '--events', '--dir', 'data/dead-letters/http'], { cwd })
    for (const { code, stdout, stderr } of [text, json, inspected]) {
      expect([code, stderr]).toEqual([0, ''])
      for (const character of new Set(nasty.match(/[^ -~]/g))) expect(stdout).not.toContain(character)
    }
    expect(JSON.parse(json.stdout.split('\n')[0] ?? '')).toMatchObject({ reason: nasty, event })
  })
})

test.runIf(process.getuid?.() === 0)('a data directory of another user: which user to be', async () => {
  await writeLog(join(cwd, 'data/log'), ['{"data":1}'])
  chownSync(join(cwd, 'data'), 65_533, 65_533)
  chmodSync(join(cwd, 'data'), 0o700)
  chmodSync(cwd, 0o755)
  onTestFinished(() => chmodSync(join(cwd, 'data'), 0o755))
  const { code, stderr } = await millrace(['dlq', 'list'], { cwd, uid: 65_534 })
  expect([code, stderr]).toEqual([1, expect.stringMatching(/EACCES.*: run this as the user of the service/)])
})
