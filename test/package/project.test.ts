/**
 * A project as a user makes it, from the packed packages: npm create → start → event → own handler → own sink → test → synth,
 * then an upgrade over a change of a format.
 * Prints the time of each. It needs the registry that npm is configured with, or what npm has in its cache.
 */
import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import packageJson from '../../package.json' with { type: 'json' }
import { missing, startEmulatedAws } from '../support/emulated-aws.ts'
import { makeNextVersion, TOLD_OF_NEXT_VERSION } from '../support/next-version.ts'
import { packed } from '../support/packed.ts'
import { type Registry, startRegistry } from '../support/registry.ts'
import { type Service, until, whenReady } from '../support/service.ts'
import { EMULATED_ACCOUNT } from '../support/synth.ts'

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

/** Of all files but those that each start makes in a directory of data. */
function digestOf(directory: string): string {
  const hash = createHash('sha256')
  for (const file of readdirSync(directory, { recursive: true, encoding: 'utf8' }).sort()) {
    const path = join(directory, file)
    if (!/\b(lock|reserve)$/.test(file) && statSync(path).isFile()) hash.update(`${file}\n`).update(readFileSync(path))
  }
  return hash.digest('hex')
}

/** `npm start` in the project, or `npm run dev`, as whoever is at its terminal. */
function start(command: readonly string[] = ['start'], more = {}): Promise<Service> {
  const child = spawn('npm', command, {
    cwd: project,
    env: env({ PORT: '0', ADMIN_PORT: '0', SHUTDOWN_GRACE_MS: '0', ...more }),
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  })
  onTestFinished(() => {
    if (child.exitCode === null && child.signalCode === null) process.kill(-(child.pid as number), 'SIGKILL')
  })
  return whenReady(child, 60_000)
}

async function send(service: Pick<Service, 'url'>, data: string): Promise<void> {
  const headers = { 'content-type': 'application/json' }
  const body = JSON.stringify({ type: 'order.paid', data })
  const { status } = await fetch(`${service.url}/v1/events`, { method: 'POST', headers, body })
  expect(status).toBe(202)
}

/** Lines in the files of the route `all`. */
function delivered(): string[] {
  const directory = join(project, 'data/delivered')
  return readdirSync(directory).flatMap((file) => readFileSync(join(directory, file), 'utf8').trimEnd().split('\n'))
}

/** The package as a later version, with another format of offsets. */
function packedNextVersion(): string {
  const directory = join(work, 'next')
  mkdirSync(directory)
  execFileSync('tar', ['-xzf', millrace, '-C', directory])
  makeNextVersion(join(directory, 'package'))
  execFileSync('npm', ['pack', '--silent', '--pack-destination', work], { cwd: join(directory, 'package') })
  return join(work, 'millrace-0.2.0.tgz')
}

test('a project is created, started, tested and synthesised, and no file of Millrace is changed', async () => {
  // A cache of its own: npx would take the create-millrace of the last run.
  const fresh = { npm_config_cache: join(work, 'cache') }
  await timed('npm create millrace', () => runs('npm', ['create', '--yes', 'millrace', 'my-pipeline'], work, fresh))
  await timed('npm install', () => runs('npm', ['install', '--prefer-offline', '--no-audit', '--no-fund'], project))
  const installed = join(project, 'node_modules/millrace')
  const before = digestOf(installed)

  const service = await timed('npm start, until it is ready', () => start())
  await timed('an event, answered once it is durable', () => send(service, 'first'))
  await timed('through the handler, to the sink of the project', () =>
    until(() => /"handledat":.*"first"/.test(service.output()), 10_000, 'the event at the console'),
  )
  await timed('through the handler, to the file', () =>
    until(() => delivered().some((line) => /"handledat":.*"first"/.test(line)), 10_000, 'the event in the file'),
  )
  expect(await service.stop()).toBe(0)
  await timed('npm test', async () => expect(await runs('npm', ['test'], project)).toMatch(/Tests .*\d+ passed/))
  await timed('npx cdktf synth', () => runs('npx', ['cdktf', 'synth'], project))
  const stacks = readdirSync(join(project, 'cdktf.out/stacks')).sort()
  expect(stacks).toEqual(['bootstrap', 'dev-foundation', 'dev-monitoring', 'dev-service'])
  expect(digestOf(installed)).toBe(before)
})

test('npm run dev starts again with the config file that is saved, which handler threads load, too', async () => {
  const service = await start(['run', 'dev'], { HANDLER_THREADS: '1' })
  const config = join(project, 'millrace.config.ts')
  const before = readFileSync(config, 'utf8')
  onTestFinished(() => writeFileSync(config, before))
  writeFileSync(config, before.replace('{ ...event, handledat:', "{ ...event, edited: 'yes', handledat:"))
  const addresses = () => [...service.output().matchAll(/send events to (http:\S+)\/v1\/events/g)].map(([, url]) => url)
  await until(() => addresses().length === 2, 30_000, 'the second start')
  await send({ url: addresses()[1] as string }, 'edited')
  await until(() => delivered().some((line) => /"edited":"yes".*"edited"/.test(line)), 10_000, 'the event in the file')
  await service.stop()
})

test('the project goes to a version with another format; the way back is refused before anything is written', async () => {
  const install = (version: string) =>
    runs('npm', ['install', '--no-audit', '--no-fund', `millrace@${version}`], project)
  registry.add(packedNextVersion())
  await timed('npm install millrace@latest', () => install('latest'))
  const told = spawnSync('npx', ['millrace', 'upgrade', '--check'], { cwd: project, env: env(), encoding: 'utf8' })
  expect([told.status, told.stdout.trimEnd().split('\n')]).toEqual([1, TOLD_OF_NEXT_VERSION])

  const next = await timed('npm start of the new version, until it is ready', () => start())
  await send(next, 'second')
  await until(() => delivered().some((line) => line.includes('"second"')), 10_000, 'the event in the file')
  expect(await next.stop()).toBe(0)
  expect(delivered().filter((line) => line.includes('"first"'))).toHaveLength(1) // the offsets were read

  await timed(`npm install millrace@${packageJson.version}`, () => install(packageJson.version))
  const before = digestOf(join(project, 'data'))
  for (const command of [['start'], ['exec', '--', 'millrace', 'config', '--check']]) {
    const { status, stderr } = spawnSync('npm', command, { cwd: project, env: env(), encoding: 'utf8' })
    expect([status, stderr]).toEqual([2, expect.stringMatching(/^millrace: a later version .*consumers\.json/m)])
  }
  expect(digestOf(join(project, 'data'))).toBe(before)
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

const noAws = missing()
test.skipIf(noAws)(
  `npm run deploy makes the stack of the account from the project, in an emulated AWS${noAws ? ` (left out: ${noAws})` : ''}`,
  async () => {
    const aws = await startEmulatedAws()
    onTestFinished(() => aws.stop())
    const config = join(project, 'infra/config.ts')
    writeFileSync(config, readFileSync(config, 'utf8').replace('000000000000', EMULATED_ACCOUNT))
    const command = ['run', 'deploy', '--', 'bootstrap', '--auto-approve', '--skip-provider-lock']
    const { code, output } = await timed('npm run deploy -- bootstrap', () => aws.run(project, 'npm', ...command))
    expect(code, output.slice(-4000)).toBe(0)
    expect(output).toMatch(/bootstrap\s+Apply complete! Resources: \d+ added, 0 changed, 0 destroyed/)
    expect(output).toContain('Next: npm run deploy -- <environment>')
  },
)

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
