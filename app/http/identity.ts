/**
 * What the identity of a client means for its events. Events outside of the client's scope are refused. With
 * `STAMP_CLIENT=authid`, each event names its client, in the auth context extension of CloudEvents:
 * https://github.com/cloudevents/spec/blob/main/cloudevents/extensions/authcontext.md
 */
import { MillraceError } from '../errors.ts'
import { sourceOfReceived, typeOfReceived } from '../event/attributes.ts'
import { withMembers } from '../event/members.ts'
import { bitOf, NUMBER } from '../event/names.ts'
import { marksOf, type Places } from '../json/scanner.ts'
import type { PublicKey } from './api-keys.ts'
import { isAllowed, type Scope } from './scope.ts'

/** The grant of a client that has a scope or has sent a token. */
export interface Grant {
  /** Undefined: any event. */
  readonly scope: Scope | undefined
  /** Undefined: the principal of an API key. */
  readonly principal: Principal | undefined
  /** Undefined: the client has a secret. */
  readonly publicKey?: PublicKey | undefined
}

export interface Principal {
  readonly authtype: string
  /** At most 256 characters without control characters. */
  readonly authid: string
}

/** Restrictions on the events of a request, in addition to being valid. */
export interface Restrictions {
  readonly scope: Scope | undefined
  /** Whether the service sets the auth context, so that an event may not bring its own. */
  readonly stamps: boolean
}

const STAMPED = bitOf('authtype', 'authid', 'authclaims')
const STAMPED_FAULT = 'authtype, authid and authclaims are set by this service (STAMP_CLIENT): leave them out'

/** @returns undefined when nothing is restricted, the usual case. */
export function restrictionsOf(grant: Grant | undefined, stamps: boolean): Restrictions | undefined {
  const scope = grant?.scope
  return scope === undefined && !stamps ? undefined : { scope, stamps }
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
  return stamps && (marksOf(places, head) & STAMPED) !== 0 ? STAMPED_FAULT : undefined
}

function requireAllowed(name: 'type' | 'source', patterns: readonly string[], text: string, index: number): void {
  if (isAllowed(patterns, text)) return
  const problem = `event ${index}: this client may not send the ${name} ${JSON.stringify(text)}, only ${patterns.join(', ')}`
  throw new MillraceError('OUT_OF_SCOPE', problem)
}

/** Adds authtype and authid to each event. @param payload JSON objects without these attributes, one a line. */
export function stamped(payload: Buffer, { authtype, authid }: Principal): Buffer {
  const members = new Map([
    [NUMBER.authtype, `"authtype":${JSON.stringify(authtype)},`],
    [NUMBER.authid, `"authid":${JSON.stringify(authid)},`],
  ])
  return withMembers(payload, members)
}
