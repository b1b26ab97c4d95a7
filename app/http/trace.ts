/**
 * Trace context of a request (https://www.w3.org/TR/trace-context/) → `traceparent` of its events, the CloudEvents
 * extension for it (https://github.com/cloudevents/spec/blob/main/cloudevents/extensions/distributed-tracing.md). From
 * there handlers and the http sink have it.
 */
import type { IncomingHttpHeaders } from 'node:http'
import { NUMBER, scanner } from '../event/names.ts'
import { isTraceparent } from '../event.ts'

const LINE_END = Buffer.from('\n')

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
  const members = new Map([[NUMBER.traceparent, `"traceparent":"${traceparent}",`]])
  const marked: Buffer[] = []
  // What is null or odd otherwise goes on as it is: the trace is not worth a change.
  const onOdd = (line: Uint8Array) => void marked.push(Buffer.from(line), LINE_END)
  scanner.fill(payload, { members }, 0, (lines) => void marked.push(Buffer.from(lines)), onOdd)
  const lines = Buffer.concat(marked)
  return lines.length - 1 > maxBytes ? payload : lines.subarray(0, -1)
}
