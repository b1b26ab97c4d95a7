/** Every error a client sees: RFC 9457 `application/problem+json`, with Retry-After on 429 and 503. */
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import { ERRORS, type ErrorCode, MillraceError } from '../errors.ts'
import { closeInStagesWhenAnswered } from './close-in-stages.ts'

const RETRY_AFTER_SECONDS = '1'
const PROBLEM_TYPE = 'application/problem+json'
/** After these the rest of the body is not read as one: it is too large, or nobody knows where it ends. */
const CLOSING = new Set([400, 413, 501])

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

/** The document of an error that no request carries. */
export function problemOf(problem: MillraceError): string {
  const { status, title } = ERRORS[problem.code]
  const rejected = problem instanceof Refusal && problem.rejected.length > 0 ? problem.rejected : undefined
  return JSON.stringify({ type: urn(problem.code), title, status, detail: problem.message, rejected })
}

export function sendProblem(error: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const problem = toProblem(error)
  if (problem !== undefined) {
    const { status } = ERRORS[problem.code]
    if (status === 429 || status === 503) reply.header('retry-after', RETRY_AFTER_SECONDS)
    if (CLOSING.has(status) && !request.raw.complete) {
      reply.header('connection', 'close')
      closeInStagesWhenAnswered(request.raw.socket)
    }
    return reply.code(status).type(PROBLEM_TYPE).send(problemOf(problem))
  }
  const status = (error as FastifyError).statusCode ?? 500
  const isOurs = status >= 500
  if (isOurs) request.log.error({ err: error, reqId: request.id }, 'request failed')
  const title = isOurs ? 'Internal error' : 'Bad request'
  const detail = isOurs ? 'this is a bug in Millrace: see its log' : (error as Error).message
  return reply
    .code(status)
    .type(PROBLEM_TYPE)
    .send(JSON.stringify({ type: 'about:blank', title, status, detail }))
}

function urn(code: ErrorCode): string {
  return `urn:millrace:problem:${code.toLowerCase().replaceAll('_', '-')}`
}
