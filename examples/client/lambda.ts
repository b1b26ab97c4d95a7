/**
 * Events of an AWS Lambda function. The client outlives an invocation, but between two of them the process is frozen,
 * and may never go on: so each invocation ends with a flush, with a time that leaves room for its answer.
 */
import { createClient } from 'millrace/client'

const { MILLRACE_URL = 'http://localhost:3000', MILLRACE_KEY } = process.env
const FLUSH_TIMEOUT_MS = 2000

const events = createClient({
  url: MILLRACE_URL,
  ...(MILLRACE_KEY !== undefined && { key: MILLRACE_KEY }),
  source: '/shop/lambda',
})

/** The part of an event of API Gateway (payload format 2.0) that is used here. */
interface HttpRequest {
  readonly headers: Readonly<Record<string, string | undefined>>
  readonly body?: string
}

export async function handler({ headers, body = '{}' }: HttpRequest): Promise<{ statusCode: number; body: string }> {
  const data: { customer?: string } = JSON.parse(body)
  const { traceparent } = headers
  const id = events.track({ type: 'order.created', subject: data.customer ?? 'nobody', data, traceparent })
  const isSent = await events.flush({ timeoutMs: FLUSH_TIMEOUT_MS })
  // Whoever called may call again; an event that is sent twice then has two ids, as it has two invocations.
  return isSent ? { statusCode: 201, body: JSON.stringify({ event: id }) } : { statusCode: 503, body: 'try again' }
}
