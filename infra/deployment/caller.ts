/** `allowedCidrs: 'me'`: the address that this machine reaches AWS from, as a service on the internet sees it. */
import { isIPv4 } from 'node:net'
import { ConfigError } from '../config-error.ts'

/** An endpoint that answers with the address of whoever asks, in plain text. */
export const CALLER_ADDRESS_URL = 'https://checkip.amazonaws.com'
const TIMEOUT_MS = 10_000
/** Of an answer, that is read: an address and a line end. */
const MAX_ANSWER_BYTES = 64

/** @returns an IPv4 range of one address. @throws ConfigError that says what to write instead. */
export async function callerCidr(url: string = process.env.CALLER_ADDRESS_URL || CALLER_ADDRESS_URL): Promise<string> {
  const fix = "write the range instead, such as ['203.0.113.0/24'], or name another service in CALLER_ADDRESS_URL"
  const { protocol, hostname } = URL.parse(url) ?? {}
  const isLoopback = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(hostname ?? '')
  if (protocol !== 'https:' && !(protocol === 'http:' && isLoopback)) {
    throw new ConfigError(`CALLER_ADDRESS_URL: ${JSON.stringify(url)} is not an https:// URL`)
  }
  const answer = await ask(url)
  if (isIPv4(answer)) return `${answer}/32`
  throw new ConfigError(`allowedCidrs: 'me': ${url} gave no IPv4 address (${answer}): ${fix}`)
}

/** The answer, or why there is none. */
async function ask(url: string): Promise<string> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(TIMEOUT_MS), redirect: 'error' })
    if (!response.ok) return `status ${response.status}`
    const first = await response.body?.getReader().read() // an address is in the first piece
    return Buffer.from(first?.value ?? [])
      .subarray(0, MAX_ANSWER_BYTES)
      .toString()
      .trim()
  } catch (error) {
    const { message, cause } = error as Error
    return cause instanceof Error ? cause.message : message
  }
}
