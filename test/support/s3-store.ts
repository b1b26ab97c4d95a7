/** A store that keeps objects and refuses what the test says: the SDK speaks to it over HTTP. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { onTestFinished } from 'vitest'

export interface Store {
  readonly endpoint: string
  readonly objects: Map<string, Buffer>
  /** Key → status and code of a request that is refused. */
  refuse: (method: string, key: string) => [number, string] | undefined
}

/** Closed with the test. */
export async function startStore(): Promise<Store> {
  const objects = new Map<string, Buffer>()
  const store: { -readonly [name in keyof Store]: Store[name] } = { endpoint: '', objects, refuse: () => undefined }
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk)
    const { method = '', url = '/', headers } = request
    const key = decodeURIComponent(url.split('?')[0]?.slice('/bucket/'.length) ?? '')
    const [status, code] =
      store.refuse(method, key) ??
      (method === 'PUT' && headers['if-none-match'] && objects.has(key)
        ? [412, 'PreconditionFailed']
        : method === 'GET' && !objects.has(key)
          ? [404, 'NoSuchKey']
          : [200, ''])
    if (status !== 200)
      return void response.writeHead(status).end(`<Error><Code>${code}</Code><Message>made up</Message></Error>`)
    if (method === 'PUT') objects.set(key, Buffer.concat(chunks))
    response.end(method === 'GET' ? objects.get(key) : '')
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  store.endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return store
}
