/** Errors between threads. */
import { ERRORS, type ErrorCode, MillraceError, messageOf, systemCode } from './errors.ts'

/** An error as a message: structured cloning keeps its code but not its class. */
export interface SentError {
  readonly code: string | undefined
  readonly message: string
}

export function pack(error: unknown): SentError {
  return { code: error instanceof MillraceError ? error.code : systemCode(error), message: messageOf(error) }
}

export function unpack({ code, message }: SentError): Error {
  const isOurs = code !== undefined && Object.hasOwn(ERRORS, code)
  return isOurs ? new MillraceError(code as ErrorCode, message) : Object.assign(new Error(message), { code })
}
