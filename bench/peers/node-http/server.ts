/**
 * What Node does without a framework: node:http, JSON.parse, and the same group commit. All requests that wait are written
 * with one call and synced with another, and answered when that has returned; meanwhile the next group gathers.
 */
import { fdatasync, openSync, write } from 'node:fs'
import { createServer, type ServerResponse } from 'node:http'
import { join } from 'node:path'

const MAX_BODY_BYTES = 16 * 1024 * 1024

interface Request {
  /** One event a line, the last line ended too. */
  readonly lines: string
  readonly accepted: number
  readonly response: ServerResponse
}

const file = openSync(join(process.env.DATA_DIR ?? '.', 'events.ndjson'), 'a')
let waiting: Request[] = []
let committing = false

function append(request: Request): void {
  waiting.push(request)
  if (!committing) commit()
}

function commit(): void {
  committing = true
  const group = waiting
  waiting = []
  let lines = ''
  for (const request of group) lines += request.lines
  writeAll(Buffer.from(lines), () =>
    fdatasync(file, (error) => {
      fail(error)
      for (const { response, accepted } of group) answer(response, 202, `{"accepted":${accepted}}`)
      committing = false
      if (waiting.length > 0) commit()
    }),
  )
}

function writeAll(bytes: Buffer, done: () => void): void {
  write(file, bytes, (error, written) => {
    fail(error)
    if (written < bytes.length) writeAll(bytes.subarray(written), done)
    else done()
  })
}

/** What a failed sync has lost is unknown: nothing is acknowledged any more. */
function fail(error: Error | null): void {
  if (error) throw error
}

function answer(response: ServerResponse, status: number, body: string): void {
  const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }
  response.writeHead(status, headers).end(body)
}

interface Refusal {
  readonly status: number
  readonly error: string
}

/** The events of a body as lines, or why it is refused. */
function read(text: string, ndjson: boolean): { lines: string; accepted: number } | Refusal {
  let accepted = 0
  try {
    for (const line of ndjson ? text.split('\n') : [text]) {
      if (line === '' && ndjson) continue
      const error = check(JSON.parse(line))
      if (error !== undefined) return { status: 422, error }
      accepted += 1
    }
  } catch (error) {
    return { status: 400, error: String(error) }
  }
  if (accepted === 0) return { status: 422, error: 'no events' }
  if (ndjson) return { lines: text.endsWith('\n') ? text : `${text}\n`, accepted }
  // A line break in JSON is white space: within strings it is escaped.
  return { lines: `${/[\r\n]/.test(text) ? text.replace(/[\r\n]/g, ' ') : text}\n`, accepted }
}

/** Why it is not an event, or undefined. */
function check(event: unknown): string | undefined {
  if (typeof event !== 'object' || event === null || Array.isArray(event)) return 'an event must be a JSON object'
  const { id, data } = event as { id?: unknown; data?: unknown }
  if (data === undefined) return 'data is missing'
  if (id == null || typeof id === 'string' || Number.isInteger(id)) return undefined
  return 'id must be a string or an integer'
}

createServer((request, response) => {
  if (request.method !== 'POST' || request.url !== '/v1/events') return answer(response, 404, '{"error":"not found"}')
  const ndjson = request.headers['content-type'] === 'application/x-ndjson'
  const chunks: Buffer[] = []
  let length = 0
  request.on('data', (chunk: Buffer) => {
    length += chunk.length
    chunks.push(chunk)
    if (length > MAX_BODY_BYTES) request.destroy()
  })
  request.on('end', () => {
    const body = chunks.length === 1 && chunks[0] ? chunks[0] : Buffer.concat(chunks)
    const outcome = read(body.toString(), ndjson)
    if ('error' in outcome) answer(response, outcome.status, JSON.stringify({ error: outcome.error }))
    else append({ ...outcome, response })
  })
}).listen(Number(process.env.PORT), '127.0.0.1', 4096)
