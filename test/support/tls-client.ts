/** Clients of a listener with TLS, each with a connection of its own unless it brings an agent. */
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { type Agent, request } from 'node:https'
import { join } from 'node:path'
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls'
import { onTestFinished } from 'vitest'
import type { Pair } from './certificates.ts'
import { temporaryDirectory } from './temporary.ts'

const EVENT = '{"data":1}'

/** Writes the files and names them as variables. */
export function variablesOf({ cert, key }: Pair, clientCa?: string): Record<string, string> {
  const directory = temporaryDirectory()
  const write = (name: string, text: string) => {
    writeFileSync(join(directory, name), text)
    return join(directory, name)
  }
  return {
    TLS_CERT_FILE: write('tls.crt', cert),
    TLS_KEY_FILE: write('tls.key', key),
    ...(clientCa !== undefined && { TLS_CLIENT_CA_FILE: write('ca.crt', clientCa) }),
  }
}

export interface Answer {
  readonly status: number
  readonly text: string
}

/** Sends one event. */
export function send(
  url: string,
  options: ConnectionOptions & { agent?: Agent; authorization?: string },
): Promise<Answer> {
  const { agent = false, authorization, ...tls } = options
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/json', ...(authorization && { authorization }) }
    const sending = request(`${url}/v1/events`, { method: 'POST', agent, headers, ...tls } as object, (response) => {
      let text = ''
      response.setEncoding('utf8').on('data', (chunk) => (text += chunk))
      response.on('end', () => resolve({ status: response.statusCode ?? 0, text }))
    })
    sending.on('error', reject)
    sending.end(EVENT)
  })
}

/** A connection past its handshake. */
export async function handshake(url: string, options: ConnectionOptions): Promise<TLSSocket> {
  const socket = connect({ port: Number(new URL(url).port), host: '127.0.0.1', ...options })
  onTestFinished(() => void socket.destroy())
  await once(socket, 'secureConnect')
  socket.on('error', () => undefined)
  return socket
}

/** Of the certificate that a new connection gets. */
export async function fingerprintAt(url: string, ca: string): Promise<string> {
  const socket = await handshake(url, { ca })
  const { fingerprint256 } = socket.getPeerCertificate()
  socket.destroy()
  return fingerprint256
}

/** What comes until the other side closes. */
export async function collect(socket: TLSSocket): Promise<string> {
  let text = ''
  socket.setEncoding('utf8').on('data', (chunk) => (text += chunk))
  socket.resume()
  await once(socket, 'close')
  return text
}
