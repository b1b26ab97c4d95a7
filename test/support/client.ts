/** Clients of tests, closed with the test, and servers that answer as they are told. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { gunzipSync } from 'node:zlib'
import { onTestFinished } from 'vitest'
import {
  type Client,
  type ClientOptions,
  createClient,
  type DropReason,
  type Problem,
  type Retry,
  type TrackedEvent,
} from '../../app/client/client.ts'

/** What the callbacks of a client were told. */
export interface Heard {
  readonly dropped: { readonly events: readonly TrackedEvent[]; readonly reason: DropReason }[]
  readonly rejected: { readonly events: readonly TrackedEvent[]; readonly problem: Problem }[]
  readonly retries: Retry[]
  readonly failures: unknown[]
}

/** Fast, unless said otherwise. */
export function startClient(options: ClientOptions): { readonly client: Client; readonly heard: Heard } {
  const heard: Heard = { dropped: [], rejected: [], retries: [], failures: [] }
  const client = createClient({
    maxBatchAgeMs: 5,
    retryBaseMs: 10,
    retryMaxMs: 100,
    onDropped: (events, reason) => void heard.dropped.push({ events, reason }),
    onRejected: (events, problem) => void heard.rejected.push({ events, problem }),
    onRetry: (retry) => void heard.retries.push(retry),
    onStoreFailure: (error) => void heard.failures.push(error),
    ...options,
  })
  onTestFinished(async () => void (await client.close({ timeoutMs: 0 })))
  return { client, heard }
}

/** tracked + restored = sent + rejected + dropped + queued. @returns both sides. */
export function balance({ stats }: Client): readonly [number, number] {
  const { tracked, restored, sent, rejected, dropped, queuedEvents } = stats
  return [tracked + restored, sent + rejected + dropped + queuedEvents]
}

export interface Answered {
  readonly headers: IncomingMessage['headers']
  readonly path: string
  /** Inflated. */
  readonly events: readonly { readonly id: string; readonly [name: string]: unknown }[]
  readonly atMs: number
}

/** An address that answers each request as told, and keeps what came. Closed with the test. */
export async function startAnswers(
  answer: (request: Answered, response: ServerResponse) => void,
): Promise<{ readonly url: string; readonly requests: Answered[] }> {
  const requests: Answered[] = []
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk)
    const bytes = Buffer.concat(chunks)
    const text = (request.headers['content-encoding'] === 'gzip' ? gunzipSync(bytes) : bytes).toString()
    const lines = text === '' ? [] : text.trimEnd().split('\n')
    const received = {
      headers: request.headers,
      path: request.url ?? '',
      events: lines.map((line) => JSON.parse(line)),
      atMs: performance.now(),
    }
    requests.push(received)
    answer(received, response)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, requests }
}

export function accept({ events }: Answered, response: ServerResponse): void {
  response.writeHead(202, { 'content-type': 'application/json' }).end(JSON.stringify({ accepted: events.length }))
}
