/**
 * A project as a user makes it, from the packed packages: npm create → start → event → own handler → own sink → test → synth.
 * Prints the time of each. It needs the registry that npm is configured with, or what npm has in its cache.
 */
import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { packed } from '../support/packed.ts'
import { type Registry, startRegistry } from '../support/registry.ts'
import { until, whenReady } from '../support/service.ts'

const { millrace, createMillrace } = packed()
const work = mkdtempSync(join(tmpdir(), 'millrace-project-'))
const project = join(work, 'my-pipeline')
let registry: Registry
/** As for somebody who has not this repository: nothing of it on the PATH but its Node. */
const PATH = [dirname(process.execPath), '/usr/local/bin', '/usr/bin', '/bin'].join(delimiter)
const env = (more: Readonly<Record<string, string>> = {}) => ({
  ...Object.fromEntries(
    Object.entries(process.env).filter(([name]) => /^(HOME|NODE_EXTRA_CA_CERTS|.*_proxy)$/i.test(name)),
  ),
  ...{ PATH, npm_config_registry: registry.url, NO_PROXY: '127.0.0.1', CHECKPOINT_DISABLE: '1' },
  ...more,
})

beforeAll(async () => {
  registry = await startRegistry([millrace, createMillrace])
})
afterAll(() => {
  registry.stop()
  rmSync(work, { recursive: true, force: true })
})

async function timed<T>(step: string, run: () => T | Promise<T>): Promise<T> {
  const startedAt = performance.now()
  const result = await run()
  console.error(`${((performance.now() - startedAt) / 1000).toFixed(1).padStart(6)} s  ${step}`)
  return result
}

/** Apart from this process, which is the registry. */
function runs(command: string, args: readonly string[], cwd: string, more = {}): Promise<string> {
  const child = spawn(command, args, { cwd, env: env(more), stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text) => (output += text))
  return new Promise((done, fail) => {
    child.on('error', fail)
    child.on('close', (code) =>
      code === 0 ? done(output) : fail(new Error(`${command} ${args.join(' ')}: ${code}\n${output}`)),
    )
  })
}

function digestOf(directory: string): string {
  const hash = createHash('sha256')
  for (const file of readdirSync(directory, { recursive: true, encoding: 'utf8' }).sort()) {
    const path = join(directory, file)
    if (statSync(path).isFile()) hash.update(`${file}\n`).update(readFileSync(path))
  }
  return hash.digest('hex')
}

test('a project is created, started, tested and synthesised, and no file of Millrace is changed', async () => {
  // A cache of its own: npx would take the create-millrace of the last run.
  const fresh = { npm_config_cache: join(work, 'cache') }
  await timed('npm create millrace', () => runs('npm', ['create', '--yes', 'millrace', 'my-pipeline'], work, fresh))
  await timed('npm install', () => runs('npm', ['install', '--prefer-offline', '--no-audit', '--no-fund'], project))
  const installed = join(project, 'node_modules/millrace')
  const before = digestOf(installed)

  const child = spawn('npm', ['start'], {
    cwd: project,
    env: env({ PORT: '0', ADMIN_PORT: '0', SHUTDOWN_GRACE_MS: '0' }),
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  })
  onTestFinished(() => void process.kill(-(child.pid as number), 'SIGKILL'))
  const service = await timed('npm start, until it is ready', () => whenReady(child, 60_000))
  await timed('an event, through the handler, to the sink of the project and to the file', async () => {
    const headers = { 'content-type': 'application/json' }
    const body = '{"type":"order.paid","data":1}'
    const { status } = await fetch(`${service.url}/v1/events`, { method: 'POST', headers, body })
    expect(status).toBe(202)
    await until(() => /"type":"order\.paid".*"handledat":/.test(service.output()), 10_000, 'the event at the console')
    const delivered = join(project, 'data/delivered/current.ndjson')
    await until(() => readFileSync(delivered, 'utf8').includes('"handledat":'), 10_000, 'the event in the file')
  })
  await timed('npm test', async () => expect(await runs('npm', ['test'], project)).toMatch(/Tests .*\d+ passed/))
  await timed('npx cdktf synth', () => runs('npx', ['cdktf', 'synth'], project))
  const stacks = readdirSync(join(project, 'cdktf.out/stacks')).sort()
  expect(stacks).toEqual(['bootstrap', 'dev-foundation', 'dev-monitoring', 'dev-service'])
  expect(digestOf(installed)).toBe(before)
})

test('npm run deploy checks its arguments and the config before it starts anything', () => {
  const deploy = (...args: string[]) => {
    const { status, stderr } = spawnSync('npm', ['run', 'deploy', '--', ...args], {
      cwd: project,
      env: env(),
      encoding: 'utf8',
    })
    return `${status} ${stderr.trim().split('\n', 1)[0]}`
  }
  expect(deploy('dev')).toBe('2 infra/config.ts: account.id is still a placeholder: write yours')
  expect(deploy('nowhere')).toBe(
    '2 infra/config.ts: environments: unknown environment "nowhere": infra/config.ts has dev',
  )
  expect(deploy()).toBe('2 usage: npm run <synth|plan|deploy|destroy> -- <bootstrap|dev> [options]')
})

test('create-millrace refuses a directory with files, and a name that no package can have', () => {
  const program = join(work, 'create')
  execFileSync('mkdir', [program])
  execFileSync('tar', ['-xzf', createMillrace, '-C', program])
  const create = (...args: string[]) => {
    const { status, stderr } = spawnSync(process.execPath, [join(program, 'package/create.js'), ...args], {
      cwd: work,
      encoding: 'utf8',
    })
    return `${status} ${stderr.trim()}`
  }
  expect(create('my-pipeline')).toBe('2 my-pipeline has files already: name a directory that is new or empty')
  expect(create('My Pipeline')).toMatch(/^2 "My Pipeline" is no name for a package: use lower-case/)
  expect(create()).toBe('2 usage: npm create millrace <directory>')
})
