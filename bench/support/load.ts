/** Requests over kept-alive connections, as fast as they are answered. */
import { setTimeout as sleep } from 'node:timers/promises'
import { Connection } from './connection.ts'

export interface Payload {
  readonly body: string
  readonly contentType: string
  /** Events in it. */
  readonly events: number
  /** Default: none is sent. */
  readonly authorization?: string
}

export const JSON_TYPE = 'application/json'
export const NDJSON_TYPE = 'application/x-ndjson'

/** One POST to /v1/events as bytes. */
export function requestOf({ body, contentType, authorization }: Omit<Payload, 'events'>): Buffer {
  const credentials = authorization === undefined ? '' : `authorization: ${authorization}\r\n`
  return Buffer.from(
    `POST /v1/events HTTP/1.1\r\nhost: localhost\r\n${credentials}content-type: ${contentType}\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  )
}

export function openConnections(url: string, count: number): Connection[] {
  return Array.from({ length: count }, () => new Connection(url))
}

/** Sends the payload `requests` times, one at a time on each connection; resolves when each is answered with all events accepted. */
export function send(connections: readonly Connection[], payload: Payload, requests: number): Promise<void> {
  const request = requestOf(payload)
  const accepted = `{"accepted":${payload.events}}`
  return new Promise((resolve, reject) => {
    let toSend = requests
    let toAnswer = requests
    const next = (connection: Connection) => {
      if (toSend === 0) return
      toSend -= 1
      connection.send([request], (status, body) => {
        if (status !== 202 || body !== accepted) return reject(new Error(`not accepted: ${status} ${body}`))
        toAnswer -= 1
        if (toAnswer === 0) resolve()
        else next(connection)
      })
    }
    for (const connection of connections) next(connection)
  })
}

/** Sends it over and over for so long, whatever is answered. */
export async function loadFor(url: string, payload: Payload, count: number, seconds: number): Promise<void> {
  const request = requestOf(payload)
  const connections = openConnections(url, count)
  const again = (connection: Connection) => connection.send([request], () => again(connection))
  for (const connection of connections) again(connection)
  await sleep(1000 * seconds)
  for (const connection of connections) connection.close()
}
