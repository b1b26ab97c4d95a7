/**
 * The live page: its files, and the stream of snapshots that it shows. One timer serves all viewers; without viewers
 * there is no timer.
 *
 *     timer ─▶ Snapshots.take ─▶ one text ─▶ every viewer (server-sent events; a slow viewer misses some)
 */

import type { ServerResponse } from 'node:http'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import fastifyStatic from '@fastify/static'
import type { FastifyInstance, FastifyReply } from 'fastify'
import { MillraceError } from '../errors.ts'
import { type SnapshotSource, Snapshots } from './snapshot.ts'

export interface LiveOptions {
  readonly source: SnapshotSource
  /** URL of the public listener, for the example command on the page; undefined without a public listener. */
  readonly url: () => string | undefined
  /** Whether sending needs an API key; then the example command has a placeholder for it. */
  readonly needsKey: boolean
  /** Whether a replay needs the admin token; then the page asks for it. */
  readonly needsToken: boolean
}

const EVERY_MS = 1000
/** Limit, because each viewer holds a connection. */
const MAX_VIEWERS = 64
/** Only our own scripts and styles; nothing inline, nothing from other origins, no frames. */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "connect-src 'self'",
  "img-src 'self' data:",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ')

export async function livePage(
  app: FastifyInstance,
  { source, url, needsKey, needsToken }: LiveOptions,
): Promise<void> {
  const uplot = dirname(createRequire(import.meta.url).resolve('uplot'))
  const setHeaders = (reply: FastifyReply) => {
    reply.header('content-security-policy', POLICY)
    reply.header('x-content-type-options', 'nosniff')
    reply.header('referrer-policy', 'no-referrer')
  }
  await app.register(fastifyStatic, {
    root: [join(import.meta.dirname, 'page'), uplot],
    prefix: '/page/',
    cacheControl: false,
    setHeaders,
  })
  app.get('/', (_request, reply) => reply.sendFile('index.html'))

  const viewers = new Set<ServerResponse>()
  let timer: NodeJS.Timeout | undefined
  let latest = ''
  const watch = () => {
    const snapshots = new Snapshots(source)
    const publish = () => {
      latest = `data: ${JSON.stringify({ ...snapshots.take(), url: url(), needsKey, needsToken })}\n\n`
      // A slow viewer misses snapshots, so that they do not pile up here.
      for (const viewer of viewers) if (!viewer.writableNeedDrain) viewer.write(latest)
    }
    publish()
    return setInterval(publish, EVERY_MS)
  }
  app.get('/events', (request, reply) => {
    if (request.method === 'HEAD') return reply.type('text/event-stream').send()
    if (viewers.size >= MAX_VIEWERS) throw new MillraceError('OVERLOADED', `${MAX_VIEWERS} pages watch already`)
    reply.hijack()
    reply.raw.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' })
    timer ??= watch()
    reply.raw.write(`retry: ${EVERY_MS}\n\n${latest}`)
    viewers.add(reply.raw)
    request.raw.once('close', () => {
      viewers.delete(reply.raw)
      if (viewers.size > 0) return
      clearInterval(timer)
      timer = undefined
    })
  })
  app.addHook('onClose', async () => {
    clearInterval(timer)
    for (const viewer of viewers) viewer.end()
  })
}
