/** Errors between threads. */
import { ERRORS, type ErrorCode, MillraceError, messageOf, systemCode } from './errors.ts'

/** An error on its way: its class would not arrive, its code does. */
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
