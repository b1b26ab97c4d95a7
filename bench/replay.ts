/**
 * How fast a log is read back, in a process of its own with the flags of the service:
 *
 *     read            consumer.read()
 *     deliver         consumer.read() ─▶ decode ─▶ lane ─▶ a sink that takes everything and does nothing
 *     with a handler  the same, each event through one handler that returns it
 *
 * And the commands that read a log, as whole processes.
 */
import { execFileSync, fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { Delivery } from '../app/delivery/delivery.ts'
import type { Handler } from '../app/handlers/handler.ts'
import { setMemoryFlags } from '../app/main.ts'
import type { Sink } from '../app/sinks/sink.ts'
import type { Context, Measured, Question } from './question.ts'
import { Collected } from './support/bouts.ts'
import { CLI } from './support/contenders.ts'
import { fillLog, openLogAt } from './support/fill-log.ts'
import { SMALL_LINES } from './support/payloads.ts'
import { progress } from './support/progress.ts'
import { inDirectory } from './support/server.ts'
import { interleave } from './support/statistics.ts'
import { missingTool } from './support/tools.ts'

const EVENTS = 5_000_000
const SMOKE_EVENTS = 50_000
const POLL_MS = 5

const WAYS = ['read', 'deliver', 'deliver, one handler'] as const
type Way = (typeof WAYS)[number]

/** Takes whatever comes, up to so many events at once. */
const NULL_SINK: Sink = {
  concurrency: 1,
  maxBatchEvents: 1024,
  write: async () => undefined,
  close: async () => undefined,
}
const same: Handler = (event) => event

/** The child: events a second. */
async function run(way: Way, directory: string, events: number): Promise<number> {
  const scratch = mkdtempSync(join(directory, '../dead-letters-'))
  const log = await openLogAt(directory)
  // A name of its own: it begins at the first event.
  const name = `bench-${process.pid}`
  try {
    if (way === 'read') {
      const consumer = await log.consumer(name)
      const { signal } = new AbortController()
      const startedAt = performance.now()
      for (let read = 0; read < events; ) read += (await consumer.read(signal))?.count ?? events
      return (1000 * events) / (performance.now() - startedAt)
    }
    const deadLetterLog = await openLogAt(scratch)
    const startedAt = performance.now()
    const delivery = await Delivery.open({
      name,
      log,
      sink: NULL_SINK,
      deadLetterLog,
      handlers: way === 'deliver' ? [] : [same],
      handlerConcurrency: 16,
      retry: { baseMs: 100, maxMs: 1000, maxAttempts: 10 },
      laneBytes: 2 * 2 ** 20,
      onWarning: (message) => console.error(message),
    })
    delivery.start()
    while (delivery.lagEvents > 0) await new Promise((resolve) => setTimeout(resolve, POLL_MS))
    const rate = (1000 * events) / (performance.now() - startedAt)
    await delivery.close(0)
    return rate
  } finally {
    await log.close()
    rmSync(scratch, { recursive: true, force: true })
  }
}

async function inChild(way: Way, directory: string, events: number): Promise<number> {
  const child = fork(import.meta.filename, [way, directory, String(events)])
  const [rate] = (await once(child, 'message')) as [number]
  await once(child, 'exit')
  return rate
}

/** Whole processes: a median would hide nothing that hyperfine's own runs do not show. */
function commands(directory: string, parent: string, runs: number): Map<string, number[]> {
  const json = join(parent, 'hyperfine.json')
  const command = (name: string) => `'${process.execPath}' '${CLI}' log ${name} --dir '${directory}'`
  const args = ['--style', 'none', '--warmup', '1', '--runs', String(Math.max(2, runs)), '--export-json', json]
  execFileSync('hyperfine', [...args, command('verify'), command('replay')], { stdio: ['ignore', 'ignore', 'pipe'] })
  const { results } = JSON.parse(readFileSync(json, 'utf8')) as { results: readonly { times: number[] }[] }
  return new Map(['millrace log verify', 'millrace log replay'].map((name, at) => [name, results[at]?.times ?? []]))
}

async function measure({ smoke, rounds }: Context, parent: string): Promise<Measured> {
  const directory = join(parent, 'log')
  const wanted = smoke ? SMOKE_EVENTS : EVENTS
  progress(`filling a log with ${wanted} events`)
  const { events } = await fillLog(directory, SMALL_LINES, (filled) => filled.events >= wanted)
  const collected = new Collected()
  for (const { round, item: way } of interleave(WAYS, rounds)) {
    progress(`round ${round + 1} of ${rounds}: ${way}`)
    collected.add(way, { eventsPerSecond: await inChild(way, directory, events) })
  }
  const reason = missingTool('hyperfine')
  if (reason !== undefined) return { series: collected.series, skipped: [{ subject: 'commands', reason }] }
  progress('log verify, log replay')
  for (const [name, times] of commands(directory, parent, rounds)) {
    for (const seconds of times) collected.add(name, { seconds, eventsPerSecond: events / seconds })
  }
  return { series: collected.series }
}

export const replay: Question = {
  name: 'replay',
  title: 'Reading a log back',
  how: `A log of ${EVENTS.toLocaleString('en')} small events has groups of a hundred requests of a hundred events. A new consumer reads
it from its first event on, in three ways. It only reads; it delivers to a sink that takes everything and does nothing;
it does the same through a handler that returns its event. Each time is a new process. Then come \`log verify\`, and
\`log replay\` to nowhere, as whole processes (hyperfine).`,
  targets: [
    { key: 'replay', measure: 'eventsPerSecond', of: 'deliver', bound: { atLeast: 8_000_000 } },
    { key: 'log-replay', measure: 'eventsPerSecond', of: 'millrace log replay', bound: { atLeast: 5_000_000 } },
  ],
  plots: [{ kind: 'bars', name: 'replay', title: 'Events read back a second', measure: 'eventsPerSecond' }],
  run: (context) => inDirectory((parent) => measure(context, parent)),
}

if (process.argv[1] === import.meta.filename) {
  setMemoryFlags()
  const [, , way, directory = '', events] = process.argv
  process.send?.(await run(way as Way, directory, Number(events)))
  process.disconnect?.()
}
