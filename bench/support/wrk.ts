/** As much as a server takes, from wrk: each connection sends its next request when the last one is answered. */
import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Payload } from './load.ts'

interface ClosedLoop {
  readonly requestsPerSecond: number
  /** From when a request was sent, which it is only when the one before is answered: not what a user waits. */
  readonly p50Ms: number
  readonly p99Ms: number
}

interface Done {
  readonly requests: number
  readonly seconds: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly notAccepted: number
  readonly broken: number
}

const run = promisify(execFile)
const SCRIPT = join(import.meta.dirname, 'wrk.lua')

/**
 * @param seconds whole ones; wrk knows no others.
 * @throws Error when an answer was not 2xx, or a connection broke: then it is no measurement.
 */
export async function closedLoop(
  url: string,
  payload: Payload,
  { connections, seconds }: { readonly connections: number; readonly seconds: number },
): Promise<ClosedLoop> {
  const directory = mkdtempSync(join(tmpdir(), 'millrace-wrk-'))
  try {
    const bodyFile = join(directory, 'body')
    writeFileSync(bodyFile, payload.body)
    // One thread: the other core is the server's.
    const args = ['-t1', `-c${connections}`, `-d${Math.max(1, Math.round(seconds))}s`, '--timeout', '10s', '-s', SCRIPT]
    const { stdout } = await run('wrk', [...args, `${url}/v1/events`, '--', bodyFile, payload.contentType])
    return read(stdout)
  } finally {
    rmSync(directory, { recursive: true })
  }
}

/** @param stdout wrk's own report, with the line of wrk.lua. */
export function read(stdout: string): ClosedLoop {
  const line = stdout.split('\n').find((text) => text.startsWith('{'))
  if (line === undefined) throw new Error(`wrk gave no result: ${stdout}`)
  const { requests, seconds, p50Ms, p99Ms, notAccepted, broken } = JSON.parse(line) as Done
  if (notAccepted > 0) throw new Error(`${notAccepted} of ${requests} requests were not accepted`)
  if (broken > 0) throw new Error(`${broken} of ${requests} requests broke with their connection`)
  return { requestsPerSecond: requests / seconds, p50Ms, p99Ms }
}
