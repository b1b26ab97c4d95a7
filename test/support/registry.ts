/**
 * A registry of npm on the loopback with packages that were packed here; for all others it sends npm on to the registry that is
 * configured. https://github.com/npm/registry/blob/main/docs/responses/package-metadata.md
 */
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'

interface Packed {
  readonly name: string
  readonly version: string
  readonly bytes: Buffer
  readonly manifest: object
}

export interface Registry {
  readonly url: string
  /** A version is there from now on, as the latest. */
  add(tarball: string): void
  stop(): void
}

/** @param tarballs as `npm pack` makes them. */
export async function startRegistry(tarballs: readonly string[]): Promise<Registry> {
  const upstream = execFileSync('npm', ['config', 'get', 'registry'], { encoding: 'utf8' }).trim()
  const packages = tarballs.map(read)
  const server = createServer(({ url: path = '/' }, response) => {
    const tarball = packages.find((one) => path === `/${one.name}/-/${fileOf(one)}`)
    const versions = packages.filter(({ name }) => path === `/${name}`)
    if (tarball !== undefined) response.end(tarball.bytes)
    else if (versions.length > 0) {
      response.setHeader('content-type', 'application/json').end(JSON.stringify(metadata(versions, url)))
    } else response.writeHead(307, { location: new URL(path.slice(1), upstream).href }).end()
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return { url, add: (tarball) => packages.push(read(tarball)), stop: () => server.close() }
}

function read(tarball: string): Packed {
  const text = execFileSync('tar', ['-xzOf', tarball, 'package/package.json'], { encoding: 'utf8' })
  const manifest = JSON.parse(text)
  return { name: manifest.name, version: manifest.version, bytes: readFileSync(tarball), manifest }
}

function fileOf({ name, version }: Packed): string {
  return `${name}-${version}.tgz`
}

function metadata(packages: readonly Packed[], url: string) {
  const name = packages[0]?.name
  const versions = packages.map((one) => {
    const integrity = `sha512-${createHash('sha512').update(one.bytes).digest('base64')}`
    return [one.version, { ...one.manifest, dist: { tarball: `${url}/${name}/-/${fileOf(one)}`, integrity } }]
  })
  return { name, 'dist-tags': { latest: packages.at(-1)?.version }, versions: Object.fromEntries(versions) }
}
