/**
 * Trace context of a request (https://www.w3.org/TR/trace-context/) → `traceparent` of its events, the CloudEvents
 * extension for it (https://github.com/cloudevents/spec/blob/main/cloudevents/extensions/distributed-tracing.md). From
 * there handlers and the http sink have it.
 */
import type { IncomingHttpHeaders } from 'node:http'
import { withMembers } from '../event/members.ts'
import { NUMBER } from '../event/names.ts'
import { isTraceparent } from '../event.ts'

/** The header when it is valid. A broken one is as good as none: the trace is not worth an event. */
export function traceparentOf(headers: IncomingHttpHeaders): string | undefined {
  const { traceparent } = headers
  return isTraceparent(traceparent) ? traceparent : undefined
}

export function traceIdOf(traceparent: string): string {
  return traceparent.slice(3, 35)
}

/**
 * Puts the attribute in front of each event's own; an event that brings its own keeps that.
 * @param payload JSON objects, one a line.
 * @param maxBytes past this the payload comes back as it is: what was small enough to be taken stays small enough.
 */
export function withTraceparent(payload: Buffer, traceparent: string, maxBytes: number): Buffer {
  const marked = withMembers(payload, new Map([[NUMBER.traceparent, `"traceparent":"${traceparent}",`]]))
  return marked.length > maxBytes ? payload : marked
}
