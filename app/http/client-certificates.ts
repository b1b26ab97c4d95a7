/**
 * Who sends, by the certificate of the connection (`TLS_CLIENT_CA_FILE`). It was checked in the handshake, so its names are
 * what the authority says. They are read once a connection.
 *
 *     common name, then DNS, URI and e-mail names, then the fingerprint      a certificate has at least the last one
 */
import type { Socket } from 'node:net'
import { type PeerCertificate, TLSSocket } from 'node:tls'
import { isClientName } from './identity.ts'

const ALTERNATIVE_NAME = /^(?:DNS|URI|email):(.+)$/
const known = new WeakMap<Socket, readonly string[]>()

/** Names in the certificate of the other side; none without a certificate that was checked. */
export function certificateNames(socket: Socket): readonly string[] {
  const names = known.get(socket)
  if (names !== undefined) return names
  const read = socket instanceof TLSSocket && socket.authorized ? namesOf(socket.getPeerCertificate()) : []
  known.set(socket, read)
  return read
}

function namesOf({ subject, subjectaltname, fingerprint256 }: PeerCertificate): readonly string[] {
  const common: unknown[] = [subject?.CN].flat()
  const all = [...common, ...alternativeNames(subjectaltname ?? ''), fingerprint256]
  return all.filter((name) => typeof name === 'string').filter(isClientName)
}

/** Node writes them as `DNS:a, URI:b`. A name with a comma stands in quotes, with `\u002c` for it: it is never divided. */
function alternativeNames(list: string): string[] {
  return list.split(', ').flatMap((one) => ALTERNATIVE_NAME.exec(one)?.[1] ?? [])
}
