/** The peers that Millrace is compared with do the work that it is compared by; those that are not installed are named. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, onTestFinished, test } from 'vitest'
import { PEERS, type Peer } from '../../bench/peers/peers.ts'
import { freePorts } from '../support/ports.ts'
import { temporaryDirectory } from '../support/temporary.ts'

const START_TIMEOUT_MS = 15_000
const STOP_TIMEOUT_MS = 5000
/** -D: the process is the peer itself, and strace a child of it, so that signals arrive. */
const STRACE = ['strace', '-D', '-f', '-qq', '-s', '200', '-e', 'trace=write,writev,sendto,sendmsg,fsync,fdatasync']

interface Running {
  readonly url: string
  readonly child: ChildProcess
  /** What it has written. */
  lines(): string[]
}

async function start(peer: Peer, under: readonly string[] = []): Promise<Running> {
  const directory = temporaryDirectory()
  const [port = 0] = await freePorts(1)
  const { command, args, env } = peer.command(port, directory)
  const [program = command, ...before] = [...under, command]
  const child = spawn(program, [...before, ...args], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  onTestFinished(async () => void (await stop(child)))
  let output = ''
  child.stderr.setEncoding('utf8').on('data', (text) => (output += text))
  const deadline = performance.now() + START_TIMEOUT_MS
  while (!(await isListening(port))) {
    if (child.exitCode !== null || performance.now() > deadline) throw new Error(`it does not listen: ${output}`)
    await sleep(20)
  }
  const file = join(directory, 'events.ndjson')
  return {
    url: `http://127.0.0.1:${port}/v1/events`,
    child,
    lines: () => (existsSync(file) ? readFileSync(file, 'utf8').split('\n').slice(0, -1) : []),
  }
}

function isListening(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false))
    socket.once('connect', () => socket.destroy())
  })
}

/** Whether SIGTERM was enough. */
async function stop(child: ChildProcess): Promise<boolean> {
  if (child.exitCode !== null || child.signalCode !== null) return true
  const ended = once(child, 'exit').then(() => true)
  child.kill('SIGTERM')
  const enough = await Promise.race([ended, sleep(STOP_TIMEOUT_MS, false)])
  if (!enough) child.kill('SIGKILL')
  await ended
  return enough
}

async function post(url: string, body: string, type = 'application/json'): Promise<{ status: number; text: string }> {
  const headers = { 'content-type': type, connection: 'close' }
  const response = await fetch(url, { method: 'POST', headers, body })
  expect(response.headers.get('content-type')).toBe('application/json')
  return { status: response.status, text: await response.text() }
}

function straceMissing(): string | undefined {
  const { status } = spawnSync('strace', ['-qq', '-e', 'trace=none', 'true'])
  return status === 0 ? undefined : 'there is no strace that may trace: apt-get install strace'
}

const withoutStrace = straceMissing()

for (const peer of PEERS) {
  const missing = peer.missing()

  test.skipIf(missing !== undefined)(`${peer.name} answers as Millrace does${because(missing)}`, async () => {
    const { url, lines, child } = await start(peer)
    const accepted = { status: 202, text: '{"accepted":1}' }
    expect(await post(url, '{"id":1,"data":"Event 1"}')).toEqual(accepted)
    expect(lines().map((line) => JSON.parse(line))).toEqual([{ id: 1, data: 'Event 1' }])
    expect(await post(url, '{"id":"a",\n"data":{"line":"\\n"},\r\n"type":"t"}\n')).toEqual(accepted)
    expect(JSON.parse(lines()[1] ?? '')).toEqual({ id: 'a', data: { line: '\n' }, type: 't' })
    expect(await post(url, '{"data":null}')).toEqual(accepted)

    for (const invalid of ['{"id":1}', '{"id":1.5,"data":1}', '{"id":true,"data":1}', '{"id":[],"data":1}', '[1,2]']) {
      const { status, text } = await post(url, invalid)
      expect([status, text], invalid).toEqual([422, expect.stringMatching(/^\{"error":".+"\}\s*$/)])
    }
    for (const malformed of ['{"id":1,"data":', '{"data" 1}', 'data']) {
      expect((await post(url, malformed)).status, malformed).toBe(400)
    }
    expect(lines().length).toBe(3)

    if (peer.ndjson) {
      const type = 'application/x-ndjson'
      const two = '{"id":2,"data":1}\n{"id":3,"data":2}'
      expect(await post(url, two, type)).toEqual({ status: 202, text: '{"accepted":2}' })
      expect(await post(url, `${two}\n`, type)).toEqual({ status: 202, text: '{"accepted":2}' })
      expect(lines().slice(3).join('\n')).toBe(`${two}\n${two}`)
      expect((await post(url, '{"data":1}\n{"id":2}\n', type)).status).toBe(422)
      expect((await post(url, '{"data":\n1}\n', type)).status).toBe(400)
      expect(lines().length).toBe(7)
    }
    expect(await stop(child)).toBe(true)
  })

  const reason = missing ?? withoutStrace
  const promise = peer.durable ? 'syncs before it answers' : 'answers without a sync, as it says'
  test.skipIf(reason !== undefined)(`${peer.name} ${promise}${because(reason)}`, async () => {
    const trace = join(temporaryDirectory(), 'trace')
    const { url, child } = await start(peer, [...STRACE, '-o', trace])
    expect((await post(url, '{"id":1,"data":"Event 1"}')).status).toBe(202)
    await stop(child)
    const calls = readFileSync(trace, 'utf8').split('\n')
    const written = calls.findIndex((call) => /write.*\\"data\\":\s*\\"Event 1\\"/.test(call))
    const answered = calls.findIndex((call) => /HTTP\/1\.1 202/.test(call))
    expect([written >= 0, answered > written]).toEqual([true, true])
    const synced = calls.findIndex((call, at) => at > written && /f(data)?sync(\(| resumed).* = 0$/.test(call))
    expect(synced > written && synced < answered).toBe(peer.durable)
  })
}

test('the README has a row for every peer', () => {
  const readme = readFileSync(new URL('../../bench/peers/README.md', import.meta.url), 'utf8')
  const rows = [...readme.matchAll(/^\| `([\w-]+)` \|/gm)].map(([, name]) => name)
  expect(rows.toSorted()).toEqual(PEERS.map(({ name }) => name).toSorted())
})

function because(reason: string | undefined): string {
  return reason === undefined ? '' : ` (skipped: ${reason})`
}
