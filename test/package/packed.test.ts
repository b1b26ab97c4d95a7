/** The npm packages as they are packed: what is in them, how large they are, and Millrace installed into an empty directory. */
import { execFileSync, spawn } from 'node:child_process'
import { mkdirSync, statSync, writeFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { nodeOf } from '../support/node-versions.ts'
import { packed } from '../support/packed.ts'
import { until, whenReady } from '../support/service.ts'
import { temporaryDirectory } from '../support/temporary.ts'

/** Of the package without its dependencies; it has 0.4 MB packed and 1.3 MB unpacked. */
const MOST_PACKED_BYTES = 600_000
const MOST_UNPACKED_BYTES = 2_000_000
/** What package.json promises: `engines`. */
const NODE_MAJORS = [22, 24, 26]

const { millrace, createMillrace } = packed()
const list = (tarball: string) =>
  execFileSync('tar', ['-tvzf', tarball], { encoding: 'utf8' })
    .trimEnd()
    .split('\n')
    .map((line) => {
      const [, , bytes = '', , , path = ''] = line.split(/\s+/)
      return { path: path.replace('package/', ''), bytes: Number(bytes) }
    })
const textOf = (tarball: string, path: string) =>
  execFileSync('tar', ['-xzOf', tarball, `package/${path}`], { encoding: 'utf8' })

test('the package has what runs and the types of what is exported, and nothing else', () => {
  const files = list(millrace)
  const kinds = /^(app|infra)\/.+\.(js|d\.ts|wasm|html|css)$|^(package\.json|README\.md|LICENSE|upgrade-notes\.json)$/
  expect(files.map(({ path }) => path).filter((path) => !kinds.test(path))).toEqual([])
  for (const unwanted of ['infra/config.js', 'infra/main.js', 'millrace.config.js']) {
    expect(files.map(({ path }) => path)).not.toContain(unwanted)
  }
  const { exports, bin, ...manifest } = JSON.parse(textOf(millrace, 'package.json'))
  const named = new Set(files.map(({ path }) => path))
  for (const path of [...Object.values<string>(exports), ...Object.values<string>(bin)]) {
    expect(named, path).toContain(path.replace('./', ''))
    if (!/package\.json$|^infra\/|^app\/cli/.test(path))
      expect(named, path).toContain(path.slice(2).replace(/js$/, 'd.ts'))
  }
  for (const key of ['private', 'scripts', 'devDependencies', 'optionalDependencies'])
    expect(manifest).not.toHaveProperty(key)
})

test('the package is small', () => {
  const unpackedBytes = list(millrace).reduce((sum, { bytes }) => sum + bytes, 0)
  console.error(`millrace: ${statSync(millrace).size} bytes packed, ${unpackedBytes} unpacked`)
  expect(statSync(millrace).size).toBeLessThan(MOST_PACKED_BYTES)
  expect(unpackedBytes).toBeLessThan(MOST_UNPACKED_BYTES)
})

test('create-millrace depends on nothing, and its project on the versions that Millrace is tested with', () => {
  expect(JSON.parse(textOf(createMillrace, 'package.json'))).not.toHaveProperty('dependencies')
  const project = JSON.parse(textOf(createMillrace, 'template/package.json'))
  const { version } = JSON.parse(textOf(millrace, 'package.json'))
  expect(project.dependencies).toEqual({ millrace: `^${version}` })
  expect(project.millrace).toEqual({ version })
  expect(Object.values(project.devDependencies)).not.toContain('undefined')
  expect(Object.values({ ...project.devDependencies, ...project.optionalDependencies })).not.toContain('*')
})

for (const major of NODE_MAJORS) {
  test(`installed into an empty directory, npx millrace runs a config of the user's own with Node ${major}`, async ({
    skip,
  }) => {
    const directory = temporaryDirectory()
    const node = nodeOf(major, directory)
    if (node === undefined) return skip(`no node of version ${major} on the PATH or at npm`)
    // npx takes the first node of the PATH.
    const bin = join(directory, 'bin')
    mkdirSync(bin)
    writeFileSync(join(bin, 'node'), `#!/bin/sh\nexec ${node} "$@"\n`, { mode: 0o755 })
    const env = { HOME: process.env.HOME, PATH: `${bin}${delimiter}${process.env.PATH}` }
    const project = join(directory, 'project')
    mkdirSync(project)
    writeFileSync(join(project, 'package.json'), '{"type":"module"}')
    writeFileSync(
      join(project, 'millrace.config.ts'),
      `import { defineConfig, type Sink } from 'millrace'
const sink: Sink = {
  concurrency: 1,
  maxBatchEvents: 10,
  async write({ items }) { for (const { event } of items) console.error('got', event.id, event.seenby, process.version); return undefined },
  async close() {},
}
export default defineConfig({
  handlers: { mark: (event) => ({ ...event, seenby: 'mark' }) },
  sinks: { own: () => sink },
  routes: [{ name: 'all', handlers: ['mark'], sink: 'own' }],
})
`,
    )
    const install = ['install', '--prefer-offline', '--no-audit', '--no-fund', millrace]
    execFileSync('npm', install, { cwd: project, env, stdio: ['ignore', 'ignore', 'inherit'] })
    const child = spawn('npx', ['millrace', 'serve'], {
      cwd: project,
      env: { ...env, PORT: '0', ADMIN_PORT: '0', SHUTDOWN_GRACE_MS: '0' },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    })
    onTestFinished(() => void process.kill(-(child.pid as number), 'SIGKILL'))
    const service = await whenReady(child, 60_000)
    const body = '{"id":"1","data":"Event 1"}'
    const headers = { 'content-type': 'application/json' }
    const { status } = await fetch(`${service.url}/v1/events`, { method: 'POST', headers, body })
    expect(status).toBe(202)
    await until(() => service.output().includes(`got 1 mark v${major}.`), 10_000, 'the event at the sink')
    for (const page of ['/', '/page/uPlot.esm.js', '/metrics']) {
      expect([page, (await fetch(service.adminUrl + page)).status]).toEqual([page, 200])
    }
  })
}
