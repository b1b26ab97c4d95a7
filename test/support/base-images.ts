/**
 * Replacements for the two public base images of the Dockerfile, with similar content. They are made from packages that
 * a Debian machine can install: the npm package of Node's own binary, npm, and Debian's packages.
 */
import { chmodSync, cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { Architecture, Containers } from './containers.ts'

const NODE_MAJOR = 24
const NPM_CPUS = { amd64: 'x64', arm64: 'arm64' } as const
/** What Node is linked with. */
const LIBRARIES = ['libc6', 'libgcc-s1', 'libstdc++6']

/**
 * For `FROM ${RUNTIME_IMAGE}`: Node at the path of distroless, and its libraries; no shell. The libraries are always
 * those of this machine, so an image for another architecture can be built and inspected, but not run.
 */
export async function runtimeBase(containers: Containers, name: string, architecture: Architecture): Promise<void> {
  const root = emptyRoot(containers)
  await debianPackages(containers, LIBRARIES, root)
  const unpacked = join(containers.directory, 'node')
  await npmPackage(containers, `node-linux-${NPM_CPUS[architecture]}@${NODE_MAJOR}`, unpacked)
  mkdirSync(join(root, 'nodejs/bin'), { recursive: true })
  cpSync(join(unpacked, 'bin/node'), join(root, 'nodejs/bin/node'))
  rmSync(unpacked, { recursive: true })
  mkdirSync(join(root, 'etc'), { recursive: true })
  writeFileSync(join(root, 'etc/passwd'), 'root:x:0:0:root:/root:/sbin/nologin\n')
  await containers.import(name, root, architecture)
  rmSync(root, { recursive: true })
}

/** For `FROM ${BUILD_IMAGE}`: the runtime base of this machine, with npm and a shell. */
export async function buildBase(
  containers: Containers,
  name: string,
  runtime: string,
  architecture: Architecture,
): Promise<void> {
  const root = emptyRoot(containers)
  await containers.look(runtime, (base) => containers.must('cp', ['-a', `${base}/.`, root]))
  await debianPackages(containers, ['busybox-static'], root)
  const applets = await containers.must(join(root, 'bin/busybox'), ['--list'])
  for (const applet of applets.split('\n')) {
    if (applet !== 'busybox') symlinkSync('busybox', join(root, 'bin', applet))
  }
  const local = join(root, 'usr/local')
  mkdirSync(join(local, 'bin'), { recursive: true })
  mkdirSync(join(root, 'usr/bin'), { recursive: true })
  symlinkSync('/bin/env', join(root, 'usr/bin/env'))
  symlinkSync('/nodejs/bin/node', join(local, 'bin/node'))
  symlinkSync('../lib/node_modules/npm/bin/npm-cli.js', join(local, 'bin/npm'))
  await npmPackage(containers, 'npm@11', join(local, 'lib/node_modules/npm'))
  await containers.import(name, root, architecture)
  rmSync(root, { recursive: true })
}

/**
 * Arguments of `buildah build` so that npm reaches its registry during the build as it does outside: a secret and a
 * mount. Nothing of them stays in the image. npm selects packages for the given architecture.
 * @param registry default: the registry in npm's configuration.
 */
export async function npmAccess(
  containers: Containers,
  architecture: Architecture,
  registry?: string,
): Promise<string[]> {
  const setting = (name: string) => containers.must('npm', ['config', 'get', name])
  const lines = [`registry=${registry ?? (await setting('registry'))}`, 'os=linux', `cpu=${NPM_CPUS[architecture]}`]
  const certificates = [await setting('cafile'), process.env.NODE_EXTRA_CA_CERTS].find(
    (path) => path !== undefined && path !== 'null',
  )
  if (certificates !== undefined) lines.push(`cafile=${certificates}`)
  const npmrc = join(containers.directory, 'npmrc')
  writeFileSync(npmrc, `${lines.join('\n')}\n`)
  const folder = certificates === undefined ? undefined : dirname(certificates)
  return ['--secret', `id=npmrc,src=${npmrc}`, ...(folder === undefined ? [] : ['--volume', `${folder}:${folder}:ro`])]
}

function emptyRoot(containers: Containers): string {
  const root = mkdtempSync(join(containers.directory, 'root-'))
  chmodSync(root, 0o755)
  mkdirSync(join(root, 'tmp'))
  chmodSync(join(root, 'tmp'), 0o1777)
  return root
}

async function npmPackage(containers: Containers, name: string, into: string): Promise<void> {
  mkdirSync(into, { recursive: true })
  const downloads = mkdtempSync(join(containers.directory, 'npm-'))
  await containers.must('npm', ['pack', '--silent', '--pack-destination', downloads, name])
  const [archive = ''] = readdirSync(downloads)
  await containers.must('tar', [
    '-xzf',
    join(downloads, archive),
    '-C',
    into,
    '--strip-components=1',
    '--no-same-owner',
  ])
  rmSync(downloads, { recursive: true })
}

/** Their files without documentation; nothing of them is run. */
async function debianPackages(containers: Containers, names: readonly string[], into: string): Promise<void> {
  const downloads = mkdtempSync(join(containers.directory, 'debian-'))
  chmodSync(downloads, 0o777) // apt gives up its rights to download
  await containers.must('apt-get', ['download', '--quiet', ...names], { cwd: downloads })
  for (const file of readdirSync(downloads)) await containers.must('dpkg-deb', ['-x', join(downloads, file), into])
  rmSync(downloads, { recursive: true })
  rmSync(join(into, 'usr/share'), { recursive: true, force: true })
}
