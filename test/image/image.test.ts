/**
 * The image as it is run: built from the Dockerfile, looked into, started without any right and on a root file system that
 * nobody can write.
 *
 * Not covered: the two public bases, since the image stands on local ones of like content; and running the image of another
 * architecture than this machine's, which is only built and compared.
 */
import { execFileSync } from 'node:child_process'
import { hash } from 'node:crypto'
import { chmodSync, chownSync, lstatSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join, relative, resolve } from 'node:path'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { HEALTH_CHECK, WORKING_DIRECTORY } from '../../infra/constructs/containers.ts'
import { CONTAINER_USER_ID } from '../../infra/constructs/log-volume.ts'
import { buildBase, npmAccess, runtimeBase } from '../support/base-images.ts'
import { type Architecture, Containers, missing, type Ran } from '../support/containers.ts'
import { startLoad } from '../support/load.ts'
import { packed } from '../support/packed.ts'
import { buildProjectImage } from '../support/project-image.ts'
import { deliveredIn, type Service, whenReady } from '../support/service.ts'
import { temporaryDirectory } from '../support/temporary.ts'

const PROJECT = resolve(import.meta.dirname, '../..')
const HERE: Architecture = process.arch === 'arm64' ? 'arm64' : 'amd64'
const ELSEWHERE: Architecture = HERE === 'amd64' ? 'arm64' : 'amd64'
const imageOf = (architecture: Architecture) => `localhost/millrace:${architecture}`
const baseOf = (architecture: Architecture) => `localhost/runtime:${architecture}`
/** buildah 1.28 has one platform for all stages: this one says it is for the other, and holds this machine's programs. */
const buildBaseOf = (architecture: Architecture) => `localhost/build:${architecture}`
const KEY = 'a-key-of-twenty-odd-letters'
const MB = 1_000_000
const BUILT_WITHIN_MS = 300_000
/** The image has no rights, no network but its own loopback, and no place to write but /app/data. */
const CONFINED = ['--read-only', '--read-only-tmpfs=false', '--cap-drop=all', '--security-opt=no-new-privileges']
/** podman would have systemd run it; the tests run it themselves. */
const UNWATCHED = '--no-healthcheck'

const reason = missing()
if (reason !== undefined) console.error(`the image is not tested: ${reason}`)
const report: string[] = []
/** The npm package, for a project in a container. */
const tarball = reason === undefined ? packed().millrace : ''
let containers: Containers
let names = 0

interface Entry {
  readonly path: string
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly isFile: boolean
  readonly isLink: boolean
}

function walk(root: string, folder = root): Entry[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name)
    const { mode, uid, gid } = lstatSync(path)
    const kind = { isFile: entry.isFile(), isLink: entry.isSymbolicLink() }
    const own = { path: `/${relative(root, path)}`, mode, uid, gid, ...kind }
    return entry.isDirectory() ? [own, ...walk(root, path)] : [own]
  })
}

const filesOf = (image: string) => containers.look(image, (root) => walk(root))
const pathsOf = async (image: string) => (await filesOf(image)).map(({ path }) => path)

/** Starts the service and waits until it is ready; `run` runs something beside it, in the same container. */
async function start(
  args: readonly string[],
  image = imageOf(HERE),
): Promise<Service & { run(...command: string[]): Promise<Ran> }> {
  const name = `test-${names++}`
  onTestFinished(() => void containers.must('podman', ['rm', '--force', '--ignore', '--volumes', '--time', '0', name]))
  const child = containers.start([UNWATCHED, '--rm', '--name', name, ...CONFINED, ...args, image])
  const service = await whenReady(child)
  return { ...service, run: (...command) => containers.run('podman', ['exec', name, ...command]) }
}

/** Posts an event from inside, with the key and the data that are its arguments; prints the status. */
const POST = `fetch('http://127.0.0.1:3000/v1/events', {
  method: 'POST',
  headers: { 'content-type': 'application/json', ...(process.argv[1] && { authorization: 'Bearer ' + process.argv[1] }) },
  body: JSON.stringify({ id: 1, data: process.argv[2] ?? 'Event 1' }),
}).then(({ status }) => console.log(status))`

const PRINT = `console.log(fs.readFileSync(process.argv[1], 'utf8'))`

const SCRAPE = `http.get('http://127.0.0.1:9464/metrics', { headers: { host: 'app:9464' } }, ({ statusCode }) => {
  console.log(statusCode)
  process.exit()
})`

/** Prints what becomes of writing to each of its arguments. */
const WRITE = `for (const path of process.argv.slice(1)) {
  try { fs.writeFileSync(path, ''); console.log('written') } catch ({ code }) { console.log(code) }
}`

describe.skipIf(reason)(`the image${reason ? ` (left out: ${reason})` : ''}`, () => {
  beforeAll(async () => {
    containers = new Containers()
    await runtimeBase(containers, baseOf(HERE), HERE)
    await runtimeBase(containers, baseOf(ELSEWHERE), ELSEWHERE)
    await buildBase(containers, buildBaseOf(HERE), baseOf(HERE), HERE)
    await containers.relabel(buildBaseOf(HERE), buildBaseOf(ELSEWHERE), ELSEWHERE)
    for (const architecture of [HERE, ELSEWHERE]) {
      const startedAt = performance.now()
      const given = {
        BUILD_IMAGE: buildBaseOf(architecture),
        RUNTIME_IMAGE: baseOf(architecture),
        VERSION: '1.2.3',
        REVISION: 'abc123',
        SOURCE: 'https://example.com/millrace',
      }
      await containers.must('buildah', [
        ...['build', '--format', 'docker', '--isolation', 'chroot', '--pull-never'],
        ...['--platform', `linux/${architecture}`, '--tag', imageOf(architecture)],
        ...Object.entries(given).flatMap(([name, value]) => ['--build-arg', `${name}=${value}`]),
        ...(await npmAccess(containers, architecture)),
        PROJECT,
      ])
      report.push(`built for linux/${architecture} in ${((performance.now() - startedAt) / 1000).toFixed(1)} s`)
    }
  })
  afterAll(async () => {
    report.push(`not run here: linux/${ELSEWHERE}; the public bases, which the Dockerfile names by digest`)
    console.error(report.map((line) => `  ${line}`).join('\n'))
    await containers?.remove()
  })

  test('it says how it is to be run: as nobody in particular, by exec, with a health check and its origin', async () => {
    const config = await containers.config(imageOf(HERE))
    expect(config).toMatchObject({
      Architecture: HERE,
      User: `${CONTAINER_USER_ID}:${CONTAINER_USER_ID}`,
      Entrypoint: ['node', 'app/cli.js'],
      Cmd: ['serve'],
      WorkingDir: WORKING_DIRECTORY,
      ExposedPorts: { '3000/tcp': {} },
      Volumes: { [`${WORKING_DIRECTORY}/data`]: {} },
      Healthcheck: { Test: HEALTH_CHECK.command, Retries: HEALTH_CHECK.retries },
      Labels: {
        'org.opencontainers.image.title': 'Millrace',
        'org.opencontainers.image.licenses': 'Apache-2.0',
        'org.opencontainers.image.version': '1.2.3',
        'org.opencontainers.image.revision': 'abc123',
        'org.opencontainers.image.source': 'https://example.com/millrace',
      },
    })
    const names = config.Env.map((line) => line.split('=')[0]).sort()
    expect(names).toEqual(['DATA_DIR', 'HOST', 'MALLOC_ARENA_MAX', 'NODE_ENV', 'PATH'])
  })

  test('it adds to its base the service and what that needs at run time, and nothing else', async () => {
    const base = new Set(await pathsOf(baseOf(HERE)))
    const added = (await pathsOf(imageOf(HERE))).filter((path) => !base.has(path))
    expect(added.filter((path) => !/^\/app(\/|$)/.test(path))).toEqual([])
    const app = added.filter((path) => path.startsWith('/app/')).map((path) => path.slice('/app/'.length))
    expect(app.filter((path) => !path.includes('/')).sort()).toEqual(
      ['LICENSE', 'app', 'data', 'millrace.config.js', 'node_modules', 'package.json', 'upgrade-notes.json'].sort(),
    )
    const directory = temporaryDirectory()
    execFileSync(process.execPath, [join(PROJECT, 'scripts/build.ts'), directory])
    const built = walk(join(directory, 'app')).map(({ path }) => `app${path}`)
    expect(app.filter((path) => path.startsWith('app/')).sort()).toEqual(built.sort())
    expect(
      app.filter((path) => /(^|\/)(infra|sizing)\/|prices|planner/.test(path) && !path.startsWith('node_modules/')),
    ).toEqual([])
    expect(app.filter((path) => path.startsWith('data/'))).toEqual([])
    expect(app.filter((path) => /(^|\/)(\.git|\.npmrc|\.env|\.npm)(\/|$)|\.(pem|key)$/.test(path))).toEqual([])
  })

  test('its packages are the production tree of the lock file: no development tools, no second Node', async () => {
    const lock = JSON.parse(readFileSync(join(PROJECT, 'package-lock.json'), 'utf8')) as {
      packages: Record<string, { dev?: boolean; optional?: boolean; devOptional?: boolean }>
    }
    const wanted = Object.entries(lock.packages)
      .filter(([path, { dev, optional, devOptional }]) => path !== '' && !dev && !optional && !devOptional)
      .map(([path]) => `/app/${path}/package.json`)
    const paths = await pathsOf(imageOf(HERE))
    const found = paths.filter((path) => /node_modules\/(@[^/]+\/)?[^/]+\/package\.json$/.test(path))
    expect(found.sort()).toEqual(wanted.sort())
    expect(found.length).toBeGreaterThan(50)
    const prebuilt = paths
      .filter((path) => path.endsWith('.node'))
      .map((path) => /prebuilds\/([^/]+)\//.exec(path)?.[1])
    expect(prebuilt.sort()).toEqual(['linux-arm64', 'linux-x64'])
    report.push(
      `${found.length} packages, ${paths.filter((path) => path.startsWith('/app/')).length} files and folders`,
    )
  })

  test('the service can write its data and nothing else; nothing gives more rights to whoever runs it', async () => {
    const entries = await filesOf(imageOf(HERE))
    const writable = entries.filter(
      ({ mode, uid, gid, isLink }) =>
        !isLink &&
        ((uid === CONTAINER_USER_ID && mode & 0o200) || (gid === CONTAINER_USER_ID && mode & 0o020) || mode & 0o002),
    )
    // /tmp of the base is everybody's, where the root file system is not read-only.
    expect(writable.map(({ path }) => path)).toEqual(['/app/data', '/tmp'])
    expect(entries.filter(({ mode, isLink }) => !isLink && mode & 0o6000)).toEqual([])
    const unreadable = entries.filter(({ path, mode }) => path.startsWith('/app/') && !(mode & 0o004))
    expect(unreadable.map(({ path }) => path)).toEqual([])
  })

  test('it is below 250 MB, and below 100 MB compressed', async () => {
    const [image, base] = [await containers.sizes(imageOf(HERE)), await containers.sizes(baseOf(HERE))]
    for (const kind of ['unpacked', 'compressed'] as const) {
      const [all, below] = [image[kind] / MB, base[kind] / MB]
      report.push(`${kind}: ${all.toFixed(1)} MB, of which ${below.toFixed(1)} MB are the local base`)
    }
    expect(image.unpacked).toBeLessThan(250 * MB)
    expect(image.compressed).toBeLessThan(100 * MB)
  })

  test(`for linux/${ELSEWHERE} it is the same, down to each file, on the base of that architecture`, async () => {
    expect((await containers.config(imageOf(ELSEWHERE))).Architecture).toBe(ELSEWHERE)
    const contents = (image: string) =>
      containers.look(image, (root) =>
        walk(join(root, 'app'))
          .filter(({ isFile }) => isFile)
          .map(({ path }) => `${hash('sha256', readFileSync(join(root, 'app', path)))} ${path}`),
      )
    expect(await contents(imageOf(ELSEWHERE))).toEqual(await contents(imageOf(HERE)))
  })

  test('it has the config file of the project, without types, and takes a mounted one, with them', async () => {
    const directory = temporaryDirectory()
    const config = `import { defineConfig, type Handler } from 'millrace'
const mine: Handler = (event) => event
export default defineConfig({ handlers: { mine } })\n`
    writeFileSync(join(directory, 'mine.ts'), config)
    chmodSync(directory, 0o755)
    const shown = async (...args: string[]) => {
      const mount = ['--volume', `${directory}:/config:ro`, '--env', 'ALLOW_ANONYMOUS=true']
      const run = ['run', UNWATCHED, '--rm', '--network=none', ...CONFINED, ...mount, imageOf(HERE), 'config', ...args]
      const { code, stdout, stderr } = await containers.run('podman', run)
      expect([code, stderr]).toEqual([0, ''])
      return stdout.split('\n').filter((line) => line.startsWith('file '))
    }
    expect((await shown()).slice(0, 2)).toEqual(['file         millrace.config.js', 'file         handlers: sample'])
    const mounted = await shown('--config', '/config/mine.ts')
    expect(mounted.slice(0, 2)).toEqual(['file         /config/mine.ts', 'file         handlers: mine'])
  })

  test('the Dockerfile of docs/image.md adds a config with packages of its own: an event goes through its handler to its sink', {
    timeout: BUILT_WITHIN_MS,
  }, async () => {
    const [image, directory] = ['localhost/my-pipeline', temporaryDirectory()]
    const [millrace, build] = [imageOf(HERE), buildBaseOf(HERE)]
    await buildProjectImage(containers, { image, directory, millrace, build, architecture: HERE, tarball })
    const service = await start(['--network=none', '--env', `API_KEYS=test:${KEY}`], image)
    expect((await service.run('node', '-e', POST, KEY, '2 days')).stdout).toBe('202')
    const lines = async () => (await service.run('node', '-e', PRINT, 'data/own-lines')).stdout
    await expect.poll(lines, { timeout: 10_000 }).toContain('"tookms":172800000,"data":"2 days"')
    expect(await service.stop()).toBe(0)

    const before = new Set(await pathsOf(imageOf(HERE)))
    const added = (await filesOf(image)).filter(({ path }) => !before.has(path))
    expect(added.filter(({ path, uid }) => !/^\/app\/project(\/|$)/.test(path) || uid !== 0)).toEqual([])
    const packages = added.flatMap(({ path }) => /\/project\/node_modules\/(.+)\/package\.json$/.exec(path)?.[1] ?? [])
    expect(packages.sort()).toEqual(['ms', 'p-limit', 'yocto-queue'])
  })

  test('without an API key it refuses to start, with one line that says what to do', async () => {
    const run = ['run', UNWATCHED, '--rm', '--network=none', ...CONFINED, imageOf(HERE)]
    const { code, stdout, stderr } = await containers.run('podman', run)
    expect([code, stdout]).toEqual([2, ''])
    expect(stderr).toMatch(/^millrace: HOST: 0\.0\.0\.0 is open to others .* set API_KEYS .*ALLOW_ANONYMOUS=true$/)
  })

  test('with one it is ready, takes an event, is found healthy, and can write nothing but its data', async () => {
    const service = await start(['--network=none', '--env', `API_KEYS=test:${KEY}`])
    const lines = service.output().trim().split('\n')
    expect(lines.map((line) => JSON.parse(line).pid)).toEqual(lines.map(() => 1)) // JSON only: no warning of Node
    expect((await service.run('node', '-e', POST)).stdout).toBe('401')
    expect((await service.run('node', '-e', POST, KEY)).stdout).toBe('202')
    expect(await service.run(...HEALTH_CHECK.command.slice(1))).toEqual({ code: 0, stdout: '', stderr: '' })
    const paths = ['/app/app/cli.js', '/app/new', '/tmp/new', '/new', '/app/data/new']
    expect((await service.run('node', '-e', WRITE, ...paths)).stdout.split('\n')).toEqual([
      ...Array(4).fill('EROFS'),
      'written',
    ])
    expect((await service.run('node', 'app/cli.js', 'log', 'verify')).code).toBe(0)
    expect(await service.stop()).toBe(0)
    report.push(`ready ${Math.round(service.readyAfterMs)} ms after podman run`)
  })

  test('as compose.yaml runs it, Prometheus may scrape it by its name there, and the health check holds', async () => {
    const environment = { ALLOW_ANONYMOUS: 'true', ADMIN_HOST: '0.0.0.0', API_KEYS: '', ADMIN_TOKEN: '' }
    const given = Object.entries(environment).flatMap(([name, value]) => ['--env', `${name}=${value}`])
    const service = await start(['--network=none', '--volume', 'data:/app/data', ...given])
    expect((await service.run('node', '-e', SCRAPE)).stdout).toBe('200')
    expect((await service.run(...HEALTH_CHECK.command.slice(1))).code).toBe(0)
    expect((await service.run('node', '-e', POST)).stdout).toBe('202')
  })

  test('the health check fails where nothing answers', async () => {
    const run = ['run', UNWATCHED, '--rm', '--network=none', ...CONFINED, '--entrypoint', '[]', imageOf(HERE)]
    expect((await containers.run('podman', [...run, ...HEALTH_CHECK.command.slice(1)])).code).toBe(1)
  })

  test('SIGTERM to process 1 under load: every acknowledged event is delivered, exit code 0', async () => {
    const data = mkdtempSync(join(containers.directory, 'data-'))
    chownSync(data, CONTAINER_USER_ID, CONTAINER_USER_ID)
    // On the machine's own loopback, so that the load comes from outside; any free port.
    const environment = ['HOST=127.0.0.1', 'PORT=0', 'ADMIN_PORT=0'].flatMap((line) => ['--env', line])
    const service = await start(['--network=host', '--volume', `${data}:/app/data`, ...environment])
    const load = startLoad(service.url, { connections: 16, batch: 10 })
    await new Promise((done) => setTimeout(done, 1000))
    const stoppedAt = performance.now()
    expect(await service.stop('SIGTERM'), service.output()).toBe(0)
    const tookMs = performance.now() - stoppedAt
    await load.stop()
    const ids = new Set(deliveredIn(join(data, 'delivered')).map(({ id }) => id))
    expect(load.acknowledged.size).toBeGreaterThan(100)
    expect([...load.acknowledged].filter((id) => !ids.has(id))).toEqual([])
    expect(tookMs).toBeLessThan(11_000)
    report.push(`stopped in ${Math.round(tookMs)} ms: ${load.acknowledged.size} acknowledged, all delivered`)
  })
})
