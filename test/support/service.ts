/** The real service as a child process, on free ports and a directory of its own. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, onTestFinished } from 'vitest'
import packageJson from '../../package.json' with { type: 'json' }

/** As `npm start` has them. */
const START_ENVIRONMENT = Object.fromEntries(
  packageJson.scripts.start.matchAll(/(\w+)=(\S+) /g).map(([, name, value]) => [name, value]),
)
export const CLI = fileURLToPath(new URL('../../app/cli.ts', import.meta.url))
const READY = /ready: (?:send events to (https?:\S+)\/v1\/events|delivering) .* metrics (http:\S+)\/metrics/
const START_TIMEOUT_MS = 10_000

export interface Service {
  readonly process: ChildProcess
  readonly url: string
  readonly adminUrl: string
  /** From spawn to the ready line, milliseconds. */
  readonly readyAfterMs: number
  /** Everything it has printed, and what of it on standard output. */
  output(): string
  stdout(): string
  /** Sends the signal and waits for the end; the exit code, or the signal that ended it. */
  stop(signal?: NodeJS.Signals): Promise<number | string>
}

/**
 * Starts the service in `directory` and waits until it says that it is ready.
 * @param options.under a command that runs it, with its arguments, such as `prlimit`.
 */
export async function startService(
  directory: string,
  environment: Record<string, string> = {},
  { readyWithinMs = START_TIMEOUT_MS, under = [] as readonly string[] } = {},
): Promise<Service> {
  const [command = process.execPath, ...more] = [...under, process.execPath, CLI, 'serve']
  const child = spawn(command, more, {
    cwd: directory,
    env: {
      ...START_ENVIRONMENT,
      PATH: process.env.PATH,
      PORT: '0',
      ADMIN_PORT: '0',
      SHUTDOWN_GRACE_MS: '0',
      ...environment,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  return whenReady(child, readyWithinMs)
}

/** Waits until the service that `child` is, or runs, says that it is ready. The child ends with the test. */
export async function whenReady(child: ChildProcess, readyWithinMs = START_TIMEOUT_MS): Promise<Service> {
  const startedAt = performance.now()
  const exited = once(child, 'exit')
  onTestFinished(() => void child.kill('SIGKILL'))
  let output = ''
  let stdout = ''
  child.stdout?.setEncoding('utf8').on('data', (text) => (stdout += text))
  const addresses = await new Promise<{ url: string; adminUrl: string }>((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`not ready in time:\n${output}`)), readyWithinMs)
    const look = (text: string) => {
      output += text
      const [, url = '', adminUrl] = READY.exec(output) ?? []
      if (adminUrl === undefined) return
      clearTimeout(timer)
      resolve({ url, adminUrl })
    }
    for (const stream of [child.stdout, child.stderr]) stream?.setEncoding('utf8').on('data', look)
    exited.then(([code]) => reject(new Error(`ended with ${code} before it was ready:\n${output}`)))
  })
  return {
    process: child,
    ...addresses,
    readyAfterMs: performance.now() - startedAt,
    output: () => output,
    stdout: () => stdout,
    stop: async (signal = 'SIGTERM') => {
      child.kill(signal)
      const [code, endedBy] = await exited
      return code ?? endedBy
    },
  }
}

/** Every event in the file sink's directory, in the order of the files. */
export function deliveredIn(directory: string): { id: string; subject?: string; data: unknown }[] {
  if (!existsSync(directory)) return []
  const files = readdirSync(directory)
    .filter((name) => name.startsWith('events-'))
    .sort((a, b) => a.localeCompare(b, undefined, { numeric: true }))
  return [...files, ...readdirSync(directory).filter((name) => name === 'current.ndjson')].flatMap((name) =>
    readFileSync(join(directory, name), 'utf8')
      .split('\n')
      .filter((line) => line.endsWith('}'))
      .map((line) => JSON.parse(line)),
  )
}

type Scraped = Pick<Service, 'adminUrl'>

/** The samples of a scrape: `name{labels}` → value. */
export async function scrape({ adminUrl }: Scraped): Promise<Map<string, number>> {
  const text = await (await fetch(`${adminUrl}/metrics`)).text()
  const samples = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'))
  return new Map(
    samples.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ') + 1))]),
  )
}

/** Sends `body` as JSON. */
export function post({ url }: Pick<Service, 'url'>, body: unknown): Promise<Response> {
  return fetch(`${url}/v1/events`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })
}

/** A sample of one sink; NaN when there is none. */
export async function sinkSample(service: Scraped, sink: string, name: string): Promise<number> {
  return (await scrape(service)).get(`millrace_${name}{sink="${sink}"}`) ?? Number.NaN
}

/** Durable events that `sink` has not confirmed. */
export function lagOf(service: Scraped, sink: string): Promise<number> {
  return sinkSample(service, sink, 'delivery_lag_events')
}

/** Waits until the sinks have everything. */
export async function caughtUp(service: Scraped, sinks: readonly string[], withinMs = 30_000): Promise<void> {
  for (const sink of sinks) {
    await until(async () => (await lagOf(service, sink)) === 0, withinMs, `${sink} has everything`)
  }
}

/** The law of conservation (app/observability/metrics.ts), at rest. @returns the samples it was checked with. */
export async function expectConserved(service: Scraped, sinks: readonly string[]): Promise<Map<string, number>> {
  const samples = await scrape(service)
  const value = (name: string) => samples.get(`millrace_${name}`) ?? Number.NaN
  const committed = value('events_committed_total')
  const rejected = [...samples]
    .filter(([name]) => name.startsWith('millrace_events_rejected_total'))
    .reduce((total, [, events]) => total + events, 0)
  expect(value('events_received_total')).toBe(committed + rejected + value('events_in_flight'))
  for (const sink of sinks) {
    const per = (name: string) => value(`${name}{sink="${sink}"}`)
    const settled = per('events_delivered_total') + per('events_dead_lettered_total') + per('events_damaged_total')
    expect(committed, sink).toBe(settled + per('delivery_lag_events'))
  }
  return samples
}

/** Waits until `check` holds, looking every few milliseconds. */
export async function until(check: () => boolean | Promise<boolean>, timeoutMs: number, what: string): Promise<void> {
  const deadline = performance.now() + timeoutMs
  while (!(await check())) {
    if (performance.now() > deadline) throw new Error(`not within ${timeoutMs} ms: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}
