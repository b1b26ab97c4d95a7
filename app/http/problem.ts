/** Every error a client sees: RFC 9457 `application/problem+json`, with Retry-After on 429 and 503. */
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import { ERRORS, type ErrorCode, MillraceError } from '../errors.ts'

const RETRY_AFTER_SECONDS = '1'

/** Events that were not accepted, by their place in the request. `retryable`: sound, but not stored. */
export type Rejected = { index: number; reason: string; retryable?: true }[]

/** What Fastify raises before a route runs, in our terms. */
const FROM_FASTIFY: Readonly<Record<string, ErrorCode>> = {
  FST_ERR_CTP_BODY_TOO_LARGE: 'BODY_TOO_LARGE',
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'UNSUPPORTED_TYPE',
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: 'MALFORMED',
}

export class Refusal extends MillraceError {
  readonly rejected: Rejected

  constructor(code: ErrorCode, message: string, rejected: Rejected) {
    super(code, message)
    this.rejected = rejected
  }
}

export function toProblem(error: unknown): MillraceError | undefined {
  if (error instanceof MillraceError) return error
  const code = FROM_FASTIFY[(error as FastifyError).code]
  return code && new MillraceError(code, (error as Error).message, { cause: error })
}

export function sendProblem(error: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const problem = toProblem(error)
  if (problem === undefined) {
    const status = (error as FastifyError).statusCode ?? 500
    if (status >= 500) request.log.error({ err: error, reqId: request.id }, 'request failed')
    const detail = status >= 500 ? 'this is a bug in Millrace: see its log' : (error as Error).message
    return send(reply, 'about:blank', status, status >= 500 ? 'Internal error' : 'Bad request', detail)
  }
  const { status, title } = ERRORS[problem.code]
  const rejected = problem instanceof Refusal && problem.rejected.length > 0 ? problem.rejected : undefined
  return send(reply, urn(problem.code), status, title, problem.message, rejected)
}

function urn(code: ErrorCode): string {
  return `urn:millrace:problem:${code.toLowerCase().replaceAll('_', '-')}`
}

function send(
  reply: FastifyReply,
  type: string,
  status: number,
  title: string,
  detail: string,
  rejected?: Rejected,
): FastifyReply {
  if (status === 429 || status === 503) reply.header('retry-after', RETRY_AFTER_SECONDS)
  return reply
    .code(status)
    .type('application/problem+json')
    .send(JSON.stringify({ type, title, status, detail, rejected }))
}
