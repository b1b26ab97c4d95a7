/** The public listener with a real channel, group commit and log, without a process around it. */
import { connect } from 'node:net'
import { join } from 'node:path'
import type { FastifyInstance } from 'fastify'
import { pino } from 'pino'
import { Histogram, Registry } from 'prom-client'
import { onTestFinished } from 'vitest'
import { channel } from '../../app/channel/channel.ts'
import { loadConfig } from '../../app/config.ts'
import type { OpenHook } from '../../app/hooks/hook.ts'
import type { Headers } from '../../app/http/binary-mode.ts'
import { CredentialFiles } from '../../app/http/credentials.ts'
import { createServer } from '../../app/http/server.ts'
import { EmbeddedLog } from '../../app/log/embedded/embedded-log.ts'
import { groupCommit } from '../../app/log/group-commit.ts'
import type { Log } from '../../app/log/log.ts'
import { openWindow } from '../../app/log/open.ts'
import { IngestCounts } from '../../app/observability/metrics.ts'
import type { Write } from '../../app/write.ts'
import { temporaryDirectory } from './temporary.ts'

export interface Harness {
  readonly server: FastifyInstance
  readonly url: string
  readonly log: EmbeddedLog
  readonly counts: IngestCounts
  /** Everything logged, at level trace. */
  readonly logged: string[]
  /** What the log holds. */
  stored(): Promise<string[]>
  state: { notReady: string | undefined; draining: boolean }
}

/**
 * @param environment as the process would get it.
 * @param wrapLog puts something in front of the log: a stall, a failure.
 * @param hooks webhooks that are taken.
 */
export async function startHttp(
  environment: Record<string, string> = {},
  wrapLog: (log: Log) => Pick<Log, 'append'> = (log) => log,
  hooks: readonly OpenHook[] = [],
): Promise<Harness> {
  const directory = temporaryDirectory()
  const config = loadConfig({ DATA_DIR: directory, ...environment })
  const log = await EmbeddedLog.open({
    directory: join(directory, 'log'),
    segmentBytes: 1024 * 1024,
    maxBytes: 64 * 1024 * 1024,
    retentionMs: 0,
  })
  const { sender, receiver } = channel<Write>(config.CHANNEL_CAPACITY_EVENTS, {
    slots: (write) => write.count,
    bytes: (write) => write.payload.length,
    maxBytes: config.CHANNEL_CAPACITY_BYTES,
  })
  const window = await openWindow(config, log)
  const committing = groupCommit(receiver, wrapLog(log) as Log, { maxGroupBytes: config.GROUP_MAX_BYTES, window })
  const counts = new IngestCounts(new Histogram({ name: 'w', help: 'w', registers: [new Registry()] }))
  const logged: string[] = []
  const state: Harness['state'] = { notReady: undefined, draining: false }
  const logger = pino({ level: 'trace' }, { write: (line: string) => void logged.push(line) })
  const credentialFiles = new CredentialFiles(config, logger, { open: () => hooks, paths: [] })
  const server = await createServer({
    config,
    logger,
    sender,
    credentials: credentialFiles.credentials,
    keyed: true,
    deduplicates: window !== undefined,
    counts,
    filesOfSinks: 10,
    version: '0.0.0',
    notReady: () => state.notReady,
    isDraining: () => state.draining,
  })
  const url = await server.listen({ host: '127.0.0.1', port: 0 })
  onTestFinished(async () => {
    credentialFiles.close()
    server.server.closeAllConnections()
    await server.close()
    sender.close()
    await committing
    await log.close()
  })
  const stored = async () => {
    const consumer = await log.consumer(`reader-${Math.random()}`)
    const lines: string[] = []
    for (;;) {
      const group = await consumer.read(AbortSignal.timeout(20))
      // On a busy machine a read can take longer than it is given.
      if (group === undefined && lines.length >= log.committedEvents) return lines
      if (group === undefined) continue
      lines.push(...group.payload.toString().trimEnd().split('\n'))
    }
  }
  return { server, url, log, counts, logged, stored, state }
}

export function post(
  { url }: { url: string },
  body: NonNullable<RequestInit['body']>,
  headers: Record<string, string> = {},
): Promise<Response> {
  return fetch(`${url}/v1/events`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body,
  })
}

/** Headers as Node gives them to a request. */
export function headersOf(headers: Readonly<Record<string, string>>): Headers {
  const distinct = Object.entries(headers).map(([name, value]) => [name, [value]])
  return { headers, headersDistinct: Object.fromEntries(distinct) }
}

/** Sends bytes as they are and collects what comes back until the other side closes. */
export function raw({ url }: { url: string }, bytes: string, { end = false } = {}): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(Number(new URL(url).port), '127.0.0.1', () =>
      end ? socket.end(bytes) : socket.write(bytes),
    )
    let answer = ''
    socket.setEncoding('utf8').on('data', (text) => {
      answer += text
    })
    socket.on('close', () => resolve(answer)).on('error', reject)
    onTestFinished(() => void socket.destroy())
  })
}
