/**
 * Trace context of a request (https://www.w3.org/TR/trace-context/) → `traceparent` of its events, the CloudEvents
 * extension for it (https://github.com/cloudevents/spec/blob/main/cloudevents/extensions/distributed-tracing.md). From
 * there handlers and the http sink have it.
 */
import type { IncomingHttpHeaders } from 'node:http'
import { isTraceparent } from '../event.ts'

const NEWLINE = 0x0a
const BRACE = 0x7b

/** The header when it is valid. A broken one is as good as none: the trace is not worth an event. */
export function traceparentOf(headers: IncomingHttpHeaders): string | undefined {
  const { traceparent } = headers
  return isTraceparent(traceparent) ? traceparent : undefined
}

export function traceIdOf(traceparent: string): string {
  return traceparent.slice(3, 35)
}

/**
 * Puts the attribute in front of each event's own: an event that brings its own keeps it, since of two members with the
 * same name the later one counts.
 * @param payload JSON objects, one a line.
 * @param maxBytes past this the payload comes back as it is: what was small enough to be taken stays small enough.
 */
export function withTraceparent(payload: Buffer, count: number, traceparent: string, maxBytes: number): Buffer {
  const member = Buffer.from(`"traceparent":"${traceparent}",`)
  const length = payload.length + count * member.length
  if (length > maxBytes) return payload
  const marked = Buffer.allocUnsafe(length)
  let from = 0
  let to = 0
  for (let line = 0; line < count; line++) {
    const inside = payload.indexOf(BRACE, from) + 1
    to += payload.copy(marked, to, from, inside)
    to += member.copy(marked, to)
    const end = payload.indexOf(NEWLINE, inside)
    from = end === -1 ? payload.length : end + 1
    to += payload.copy(marked, to, inside, from)
  }
  return marked
}
