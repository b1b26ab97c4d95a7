/** A backlog into S3, objects compressed as the sink does it by default, beside `gzip -6` of the same bytes to nowhere. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createWriteStream, openSync } from 'node:fs'
import { join } from 'node:path'
import { Delivery } from '../app/delivery/delivery.ts'
import { S3Sink } from '../app/sinks/s3/s3-sink.ts'
import { CREDENTIALS, type LocalS3, missingS3, startS3 } from '../test/support/s3.ts'
import type { Context, Measured, Question } from './question.ts'
import { Collected } from './support/bouts.ts'
import { fillLog, openLogAt } from './support/fill-log.ts'
import { CLOUD_EVENT_LINES } from './support/payloads.ts'
import { type Case, takeTurns } from './support/rounds.ts'
import { inDirectory } from './support/server.ts'

const EVENTS = 1_000_000
const SMOKE_EVENTS = 20_000
const ROUNDS = 3
const POLL_MS = 5
const RETRY = { baseMs: 100, maxMs: 1000, maxAttempts: 10 }
const ROLL_BYTES = 16 * 2 ** 20
const LANE_BYTES = 2 * 2 ** 20
const LONG_MS = 60_000

const warn = (message: string) => console.error(message)

/** Each time by a new consumer, from the first event on, to keys of its own. */
function delivering(s3: LocalS3, directory: string): Case {
  let round = 0
  return async (events) => {
    const name = `s3-${round++}`
    const log = await openLogAt(join(directory, 'log'))
    const sink = new S3Sink({
      name,
      bucket: s3.environment.S3_SINK_BUCKET ?? '',
      endpoint: s3.environment.S3_SINK_ENDPOINT ?? '',
      region: CREDENTIALS.AWS_REGION,
      kmsKeyId: '',
      timeoutMs: LONG_MS,
      prefix: `${name}/`,
      compression: 'gzip',
      rollBytes: ROLL_BYTES,
      rollEvents: EVENTS,
      rollMs: LONG_MS,
      backoffMs: () => RETRY.baseMs,
      onWarning: warn,
    })
    const deadLetterLog = await openLogAt(join(directory, `dead-letters-${name}`))
    const place = { name, log, sink, deadLetterLog, retry: RETRY, laneBytes: LANE_BYTES, onWarning: warn }
    const delivery = await Delivery.open({ ...place, handlers: [], handlerConcurrency: 1 })
    delivery.start()
    while (delivery.waitingEvents > 0) await new Promise((resolve) => setTimeout(resolve, POLL_MS))
    await delivery.close(LONG_MS)
    await log.close()
    return events
  }
}

function gzipping(file: string): Case {
  return async (events) => {
    const child = spawn('gzip', ['-6', '-c'], { stdio: [openSync(file, 'r'), 'ignore', 'inherit'] })
    await once(child, 'exit')
    return events
  }
}

async function measure({ smoke }: Context, directory: string): Promise<Measured> {
  Object.assign(process.env, CREDENTIALS)
  const s3 = await startS3()
  try {
    const wanted = smoke ? SMOKE_EVENTS : EVENTS
    const { events } = await fillLog(join(directory, 'log'), CLOUD_EVENT_LINES, (filled) => filled.events >= wanted)
    const file = join(directory, 'events.ndjson')
    const out = createWriteStream(file)
    const text = `${CLOUD_EVENT_LINES.join('\n')}\n`
    for (let at = 0; at < events; at += CLOUD_EVENT_LINES.length) if (!out.write(text)) await once(out, 'drain')
    out.end()
    await once(out, 'finish')
    const cases = { 'delivered to S3': delivering(s3, directory), 'gzip -6': gzipping(file) }
    const collected = new Collected()
    for (const [name, rates] of await takeTurns(cases, smoke ? 1 : ROUNDS, events)) {
      for (const eventsPerSecond of rates) collected.add(name, { eventsPerSecond })
    }
    return { series: collected.series }
  } finally {
    await s3.stop()
  }
}

export const s3Bench: Question = {
  name: 's3',
  title: 'A backlog into S3',
  how: `${EVENTS.toLocaleString('en')} CloudEvents of 273 bytes from the log into a store on this machine, and the same lines through \`gzip -6\`.`,
  targets: [{ key: 's3', measure: 'eventsPerSecond', of: 'delivered to S3', to: 'gzip -6', bound: { atLeast: 0.7 } }],
  plots: [],
  async run(context) {
    const reason = missingS3()
    if (reason !== undefined) return { series: [], skipped: [{ subject: 'all', reason }] }
    return inDirectory((directory) => measure(context, directory))
  },
}
