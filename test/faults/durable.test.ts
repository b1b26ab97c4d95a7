/** The promise of a 202, as the kernel sees it: what it acknowledges was written, and synced, before. */
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { startService } from '../support/service.ts'
import { temporaryDirectory } from '../support/temporary.ts'

/** -D: the process is the service itself, and strace a child of it, so that signals arrive. */
const STRACE = ['strace', '-D', '-f', '-qq', '-s', '200', '-e', 'trace=openat,write,writev,pwrite64']

const mayTrace = spawnSync('strace', ['-qq', '-e', 'trace=none', 'true']).status === 0
const reason = mayTrace ? '' : ' (skipped: there is no strace that may trace: apt-get install strace)'

test.skipIf(!mayTrace)(
  `the log is open for synchronous writes, and one returns before the answer begins${reason}`,
  async () => {
    const directory = temporaryDirectory()
    const trace = join(directory, 'trace')
    const service = await startService(directory, {}, { under: [...STRACE, '-o', trace] })
    const answer = await fetch(`${service.url}/v1/events`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: '{"data":"Event 1"}',
    })
    expect(answer.status).toBe(202)
    await service.stop()

    const calls = readFileSync(trace, 'utf8').split('\n')
    const opened = calls.filter((call) => /openat\(.*\.seg", .*O_RDWR/.test(call))
    expect(opened.length).toBeGreaterThan(0)
    expect(opened.filter((call) => !call.includes('O_DSYNC'))).toEqual([])

    const begun = calls.findIndex((call) => /pwrite64\(.*\\"data\\":\\"Event 1\\"/.test(call))
    const [, thread = ''] = /^(\d+)/.exec(calls[begun] ?? '') ?? []
    const isReturn = (call: string) => call.startsWith(thread) && /pwrite64.*\) += \d+$/.test(call)
    const returned = calls.findIndex((call, at) => at >= begun && isReturn(call))
    const answered = calls.findIndex((call) => /HTTP\/1\.1 202/.test(call))
    expect(begun).toBeGreaterThanOrEqual(0)
    expect(returned).toBeGreaterThanOrEqual(begun)
    expect(answered).toBeGreaterThan(returned)
  },
)
