/** A reader of a pipe that goes away, and an output that takes nothing. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { openSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { REPLAY_CONSUMER } from '../../app/delivery/dead-letters.ts'
import { EmbeddedLog } from '../../app/log/embedded/embedded-log.ts'
import { CLI, deliveredIn, startService, until } from '../support/service.ts'
import { temporaryDirectory } from '../support/temporary.ts'

/** More than a pipe holds. */
const EVENTS = 5000

async function dataDirectory(): Promise<string> {
  const cwd = temporaryDirectory()
  const letter = { event: { source: '/s', id: '1' }, offset: 1, attempts: 3, reason: 'x'.repeat(100), failedAt: 'now' }
  for (const [name, line] of [
    ['data/log', '{"data":"some text that is neither long nor short"}'],
    ['data/dead-letters/http', JSON.stringify(letter)],
  ] as const) {
    const log = await EmbeddedLog.open({
      directory: join(cwd, name),
      segmentBytes: 65_536,
      maxBytes: 1e9,
      retentionMs: 1e9,
    })
    await log.consumer(REPLAY_CONSUMER)
    for (let group = 0; group < 5; group++)
      await log.append([{ payload: Buffer.from(`${line}\n`.repeat(EVENTS / 5).trimEnd()), count: EVENTS / 5 }])
    await log.close()
  }
  return cwd
}

/** Its exit code and what it said, when standard output goes to something else than this test. */
async function run(args: readonly string[], cwd: string, stdout: 'closed at once' | 'closed after the first' | number) {
  const child = spawn(process.execPath, [CLI, ...args], {
    cwd,
    stdio: ['ignore', typeof stdout === 'number' ? stdout : 'pipe', 'pipe'],
  })
  onTestFinished(() => void child.kill('SIGKILL'))
  let stderr = ''
  child.stderr?.setEncoding('utf8').on('data', (text) => (stderr += text))
  if (stdout === 'closed at once') child.stdout?.destroy()
  else child.stdout?.once('data', () => child.stdout?.destroy())
  const [code] = await once(child, 'close')
  return [code, stderr]
}

const LISTS = [
  ['dlq', 'list', '--limit', '5000'],
  ['dlq', 'list', '--limit', '5000', '--json'],
  ['log', 'replay'],
  ['log', 'inspect', '--events', '--groups', '100'],
  ['log', 'verify'],
  ['config'],
  ['config', '--describe'],
  ['config', '--markdown'],
  ['plan', '-e', '1000', '-b', '273', '-r', '24'],
  ['--help'],
]

test('a reader that goes away ends a command quietly', async () => {
  const cwd = await dataDirectory()
  for (const args of LISTS) {
    expect(await run(args, cwd, 'closed at once'), args.join(' ')).toEqual([0, ''])
    expect(await run(args, cwd, 'closed after the first'), args.join(' ')).toEqual([0, ''])
  }
}, 60_000)

test('a verdict is one whoever reads: damage is exit code 1 without a reader', async () => {
  const cwd = await dataDirectory()
  const segment = join(cwd, 'data/log', `${'0'.repeat(20)}.seg`)
  const bytes = readFileSync(segment)
  bytes[bytes.indexOf('neither')] = 0x58
  writeFileSync(segment, bytes)
  expect(await run(['log', 'verify'], cwd, 'closed at once')).toEqual([1, ''])
})

test('send goes on without a reader', async () => {
  const cwd = temporaryDirectory()
  const service = await startService(cwd)
  expect(await run(['send', '--url', service.url, '-n', '500', '-q'], cwd, 'closed at once')).toEqual([0, ''])
  await until(() => deliveredIn(join(cwd, 'data/delivered')).length === 500, 10_000, 'all sent')
  expect(await service.stop()).toBe(0)
})

test('an output on a full disk is said, with exit code 1', async () => {
  const cwd = await dataDirectory()
  for (const args of LISTS.slice(0, 6))
    expect(await run(args, cwd, openSync('/dev/full', 'w')), args.join(' ')).toEqual([
      1,
      expect.stringMatching(
        /^millrace: cannot write to standard output \(ENOSPC.*\): what was printed is not whole\n$/,
      ),
    ])
})
