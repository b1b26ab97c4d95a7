/** Requests over raw sockets: a client that costs little, so that the service is what is measured. */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'

/** One POST to /v1/events as bytes. */
export function requestOf(body: string, contentType: string): string {
  return `POST /v1/events HTTP/1.1\r\nhost: localhost\r\ncontent-type: ${contentType}\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`
}

export async function openSockets(url: string, count: number): Promise<Socket[]> {
  const { hostname, port } = new URL(url)
  const sockets = Array.from({ length: count }, () => connect(Number(port), hostname).setEncoding('utf8'))
  await Promise.all(sockets.map((socket) => once(socket, 'connect')))
  return sockets
}

/** Sends `requests` over the sockets, one at a time on each, and resolves when all are answered with `accepted` events. */
export function send(
  sockets: readonly Socket[],
  request: string | Buffer,
  accepted: number,
  requests: number,
): Promise<void> {
  const answered = `{"accepted":${accepted}}`
  return new Promise((resolve, reject) => {
    let toSend = requests
    let toAnswer = requests
    for (const socket of sockets) {
      socket.removeAllListeners('data')
      socket.on('data', (answer: string) => {
        if (!answer.endsWith(answered)) return reject(new Error(`not accepted: ${answer}`))
        toAnswer -= 1
        if (toSend > 0) {
          toSend -= 1
          socket.write(request)
        } else if (toAnswer === 0) resolve()
      })
      if (toSend > 0) {
        toSend -= 1
        socket.write(request)
      }
    }
  })
}
