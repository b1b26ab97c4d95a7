/**
 * What the identity of a client means for its events. Refused are events outside of the client's scope, and events that
 * set attributes that the service sets itself (stamps.ts).
 */
import { MillraceError } from '../errors.ts'
import { sourceOfReceived, typeOfReceived } from '../event/attributes.ts'
import type { Places } from '../json/scanner.ts'
import type { PublicKey } from './api-keys.ts'
import { isAllowed, type Scope } from './scope.ts'
import { faultOfStamped, type Principal, type Stamps } from './stamps.ts'

/** The grant of a client that has a scope, or is known by a token or a certificate. */
export interface Grant {
  /** Undefined: any event. */
  readonly scope: Scope | undefined
  /** Undefined: the principal of an API key. */
  readonly principal: Principal | undefined
  /** Undefined: the client has a secret. */
  readonly publicKey?: PublicKey | undefined
}

/** Text that is valid as an attribute of an event and as a name in a log line. */
const CLIENT_NAME = /^[^\p{Cc}\p{Cs}\p{Noncharacter_Code_Point}]{1,256}$/u

export function isClientName(text: string): boolean {
  return CLIENT_NAME.test(text)
}

/** Restrictions on the events of a request, in addition to being valid. */
export interface Restrictions {
  readonly scope: Scope | undefined
  /** Attributes that the service sets, so that an event may not bring its own. Undefined: none. */
  readonly stamps: Stamps | undefined
}

/** @returns undefined when nothing is restricted, the usual case. */
export function restrictionsOf(grant: Grant | undefined, stamps: Stamps | undefined): Restrictions | undefined {
  const scope = grant?.scope
  return scope === undefined && stamps === undefined ? undefined : { scope, stamps }
}

/**
 * Why an event is rejected, for its sender; undefined when it is accepted.
 * @throws MillraceError OUT_OF_SCOPE; then nothing of the request is stored.
 */
export function faultOfRestricted(
  { scope, stamps }: Restrictions,
  bytes: Buffer,
  base: number,
  places: Places,
  head: number,
  index: number,
): string | undefined {
  if (scope !== undefined) {
    requireAllowed('type', scope.types, typeOfReceived(bytes, base, places, head), index)
    requireAllowed('source', scope.sources, sourceOfReceived(bytes, base, places, head), index)
  }
  return stamps && faultOfStamped(stamps, places, head)
}

function requireAllowed(name: 'type' | 'source', patterns: readonly string[], text: string, index: number): void {
  if (isAllowed(patterns, text)) return
  const problem = `event ${index}: this client may not send the ${name} ${JSON.stringify(text)}, only ${patterns.join(', ')}`
  throw new MillraceError('OUT_OF_SCOPE', problem)
}
