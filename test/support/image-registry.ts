/**
 * A registry of images on the loopback that images can be pushed to: the part of the protocol that a push uses.
 * https://github.com/opencontainers/distribution-spec/blob/main/spec.md#push
 */
import { createHash, randomUUID } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import type { Containers } from './containers.ts'

export interface Pushed {
  /** `name:tag` */
  readonly reference: string
  readonly digest: string
  /** As JSON: https://github.com/opencontainers/image-spec/blob/main/config.md */
  readonly config: { readonly architecture: string; readonly config?: { readonly Labels?: Record<string, string> } }
}

export interface ImageRegistry {
  readonly pushed: readonly Pushed[]
  /** For buildah and podman: it is the registry of that name, reached as a proxy. Programs that call the loopback use no proxy. */
  environment(name: string, containers: Containers): NodeJS.ProcessEnv
  stop(): void
}

/** @param password that the user AWS must give. */
export async function startImageRegistry(password: string): Promise<ImageRegistry> {
  const blobs = new Map<string, Buffer>()
  const uploads = new Map<string, Buffer>()
  const pushed: Pushed[] = []
  const credentials = `Basic ${Buffer.from(`AWS:${password}`).toString('base64')}`
  const server = createServer(async (request, response) => {
    const body = await bodyOf(request)
    const answer = (status: number, headers: Record<string, string> = {}) =>
      void response.writeHead(status, headers).end()
    if (request.headers.authorization !== credentials)
      return answer(401, { 'www-authenticate': 'Basic realm="images"' })
    const { pathname, searchParams } = new URL(request.url ?? '/', 'http://registry')
    const [, name = '', kind = '', rest = ''] = /^\/v2\/(.+)\/(blobs|manifests)\/(.*)$/.exec(pathname) ?? []
    if (kind === '') return answer(200)
    if (kind === 'manifests') return manifest(request, response, name, rest, body)
    if (request.method === 'HEAD') {
      const blob = blobs.get(rest)
      return blob ? answer(200, { 'content-length': String(blob.length), 'docker-content-digest': rest }) : answer(404)
    }
    const id = rest.replace('uploads/', '') || randomUUID()
    const bytes = Buffer.concat([uploads.get(id) ?? Buffer.of(), body])
    const digest = searchParams.get('digest')
    const location = `/v2/${name}/blobs/uploads/${id}`
    if (digest === null) {
      uploads.set(id, bytes)
      return answer(202, { location, range: `0-${Math.max(0, bytes.length - 1)}` })
    }
    if (digest !== sha256(bytes)) return answer(400)
    blobs.set(digest, bytes)
    answer(201, { location: `/v2/${name}/blobs/${digest}`, 'docker-content-digest': digest })
  })
  function manifest(
    { method }: IncomingMessage,
    response: ServerResponse,
    name: string,
    tag: string,
    body: Buffer,
  ): void {
    if (method !== 'PUT') return void response.writeHead(404).end()
    const { config } = JSON.parse(body.toString()) as { config: { digest: string } }
    const digest = sha256(body)
    pushed.push({ reference: `${name}:${tag}`, digest, config: JSON.parse(String(blobs.get(config.digest))) })
    response.writeHead(201, { 'docker-content-digest': digest }).end()
  }
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return {
    pushed,
    environment(name, containers) {
      const file = join(containers.directory, 'registries.conf')
      writeFileSync(file, `[[registry]]\nprefix = "${name}"\nlocation = "${name}"\ninsecure = true\n`)
      return {
        ...containers.environment,
        CONTAINERS_REGISTRIES_CONF: file,
        HTTP_PROXY: url,
        NO_PROXY: '127.0.0.1,localhost',
      }
    },
    stop: () => void server.close(),
  }
}

async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks)
}

function sha256(bytes: Buffer): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`
}
