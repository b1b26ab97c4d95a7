/**
 * Copies the trace context of a request (https://www.w3.org/TR/trace-context/) into its events, as the CloudEvents
 * extension `traceparent`. Handlers and the http sink read it there. See
 * https://github.com/cloudevents/spec/blob/main/cloudevents/extensions/distributed-tracing.md
 */
import type { IncomingHttpHeaders } from 'node:http'
import { withMembers } from '../event/members.ts'
import { NUMBER } from '../event/names.ts'
import { isTraceparent } from '../event.ts'

/** The header, if it is valid. An invalid one is ignored: a bad trace must not cost an event. */
export function traceparentOf(headers: IncomingHttpHeaders): string | undefined {
  const { traceparent } = headers
  return isTraceparent(traceparent) ? traceparent : undefined
}

export function traceIdOf(traceparent: string): string {
  return traceparent.slice(3, 35)
}

/**
 * Adds the attribute to each event. An event that already has one keeps it.
 * @param payload JSON objects, one a line.
 * @param maxBytes limit of the result; if it would be larger, the payload is returned unchanged.
 */
export function withTraceparent(payload: Buffer, traceparent: string, maxBytes: number): Buffer {
  const marked = withMembers(payload, new Map([[NUMBER.traceparent, `"traceparent":"${traceparent}",`]]))
  return marked.length > maxBytes ? payload : marked
}
