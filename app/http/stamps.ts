/**
 * What the service says in each event of who has sent it, if it is told to. An event that says so itself is rejected: a
 * reader could not tell the two apart.
 *
 *     STAMP_CLIENT=authid      authtype, authid     the auth context extension of CloudEvents
 *                                                   (https://github.com/cloudevents/spec/blob/main/cloudevents/extensions/authcontext.md)
 *     STAMP_SENDER=address     clientaddress        IP address; behind proxies, the one that TRUSTED_PROXIES vouch for
 *     STAMP_SENDER=useragent   useragent            the header User-Agent
 *
 * Address and user agent are personal data in many places: they go into events and nowhere else, no line of the log and
 * no metric. All of it is written once a request, in front of each of its events.
 */
import { isIPv4, isIPv6 } from 'node:net'
import type { FastifyRequest } from 'fastify'
import type { Config } from '../config.ts'
import { withMembers } from '../event/members.ts'
import { bitOf, NUMBER } from '../event/names.ts'
import { marksOf, type Places } from '../json/scanner.ts'

export interface Stamps {
  readonly client: boolean
  readonly address: boolean
  readonly userAgent: boolean
  /** Of the attributes that events may not bring. */
  readonly bits: number
}

export interface Principal {
  readonly authtype: string
  /** At most 256 characters without control characters. */
  readonly authid: string
}

/** What is known of one request; what is undefined is not written. */
export interface Sender {
  readonly principal?: Principal | undefined
  readonly address?: string | undefined
  readonly userAgent?: string | undefined
}

/** With the longest `authid` and address, and each of them escaped, below what `withMembers` takes. */
const MAX_USER_AGENT_LENGTH = 300
const NOT_PRINTABLE_ASCII = /[^\x20-\x7e]/g
/** An IPv4 address as IPv6 has it; a zone, which means something on one machine alone, and may be of any length. */
const NOT_OF_ADDRESS = /^::ffff:(?=\d+\.)|%.*$/gi

const CLIENT = bitOf('authtype', 'authid', 'authclaims')
const CLIENT_FAULT = 'authtype, authid and authclaims are set by this service (STAMP_CLIENT): leave them out'
const SENDER_FAULT = 'clientaddress and useragent are set by this service (STAMP_SENDER): leave them out'

/** @returns undefined where nothing is stamped, as by default. */
export function stampsOf({ STAMP_CLIENT, STAMP_SENDER }: Config): Stamps | undefined {
  const client = STAMP_CLIENT === 'authid'
  const address = STAMP_SENDER.includes('address')
  const userAgent = STAMP_SENDER.includes('useragent')
  const bits = (client ? CLIENT : 0) | (address ? bitOf('clientaddress') : 0) | (userAgent ? bitOf('useragent') : 0)
  return bits === 0 ? undefined : { client, address, userAgent, bits }
}

/** Why an event with these marks is rejected, in the words of who sent it; undefined when it is not. */
export function faultOfStamped({ bits }: Stamps, places: Places, head: number): string | undefined {
  const found = marksOf(places, head) & bits
  if (found === 0) return undefined
  return (found & CLIENT) !== 0 ? CLIENT_FAULT : SENDER_FAULT
}

/** @param principal who sends, as it is authenticated. */
export function senderOf(stamps: Stamps, request: FastifyRequest, principal: Principal): Sender {
  return {
    principal: stamps.client ? principal : undefined,
    address: stamps.address ? addressOf(request) : undefined,
    userAgent: stamps.userAgent ? request.headers['user-agent'] : undefined,
  }
}

/**
 * IP address of who sends: of the connection, or, from a proxy of TRUSTED_PROXIES, the last one in `X-Forwarded-For`
 * that is not such a proxy. Undefined once the connection is gone, and where a proxy wrote something else.
 */
export function addressOf({ ip }: Pick<FastifyRequest, 'ip'>): string | undefined {
  const address = ip?.replace(NOT_OF_ADDRESS, '') ?? ''
  return isIPv4(address) || isIPv6(address) ? address : undefined
}

/** The events with who sent them. @param payload JSON objects without these attributes, one a line. */
export function stamped(payload: Buffer, { principal, address, userAgent }: Sender): Buffer {
  const members = new Map<number, string>()
  if (principal !== undefined) {
    members.set(NUMBER.authtype, `"authtype":${JSON.stringify(principal.authtype)},`)
    members.set(NUMBER.authid, `"authid":${JSON.stringify(principal.authid)},`)
  }
  if (address !== undefined) members.set(NUMBER.clientaddress, `"clientaddress":${JSON.stringify(address)},`)
  if (userAgent) members.set(NUMBER.useragent, `"useragent":${JSON.stringify(bounded(userAgent))},`)
  return members.size === 0 ? payload : withMembers(payload, members)
}

/** RFC 9110 wants ASCII (section 5.5); other bytes have no agreed meaning, and control characters may be in no event. */
function bounded(userAgent: string): string {
  return userAgent.slice(0, MAX_USER_AGENT_LENGTH).replace(NOT_PRINTABLE_ASCII, '?')
}
