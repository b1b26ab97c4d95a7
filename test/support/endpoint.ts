/** An http endpoint that keeps what it received, and can refuse. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { onTestFinished } from 'vitest'

export interface Received {
  readonly id: string
  readonly subject: string
  readonly data: { readonly seq: number }
}

export interface Endpoint {
  readonly url: string
  /** What it took, and how many it did not take. */
  readonly received: Received[]
  /** The same as they came. */
  readonly bodies: string[]
  refused: number
  /** The status of each answer from now on. */
  answer: (event: Received) => number
}

/** Closed with the test. */
export async function startEndpoint(answer: Endpoint['answer'] = () => 200): Promise<Endpoint> {
  const server = createServer((request, response) => {
    let body = ''
    request.setEncoding('utf8').on('data', (text) => {
      body += text
    })
    request.on('end', () => {
      const event: Received = JSON.parse(body)
      const status = endpoint.answer(event)
      if (status < 300) {
        endpoint.received.push(event)
        endpoint.bodies.push(body)
      } else endpoint.refused += 1
      response.writeHead(status).end()
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  const endpoint: Endpoint = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`,
    received: [],
    bodies: [],
    refused: 0,
    answer,
  }
  return endpoint
}
