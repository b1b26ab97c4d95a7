/** `config --check` refuses what a start refuses, in the same line, and changes nothing. */
import { once } from 'node:events'
import { chmodSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { dirname, join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { millrace } from '../support/millrace.ts'
import { freePorts } from '../support/ports.ts'
import { startService } from '../support/service.ts'
import { temporaryDirectory } from '../support/temporary.ts'

const FREE = { PORT: '0', ADMIN_PORT: '0' }

interface Setting {
  /** What is in the working directory. */
  readonly prepare?: (cwd: string) => void
  readonly env: Readonly<Record<string, string>>
  readonly names: string
}

async function usedPort(): Promise<string> {
  const holder = createServer().listen(0, '127.0.0.1')
  onTestFinished(() => void holder.close())
  await once(holder, 'listening')
  const address = holder.address()
  return String(typeof address === 'object' ? address?.port : '')
}

const version9 = (directory: string) => (cwd: string) => {
  mkdirSync(join(cwd, directory), { recursive: true })
  writeFileSync(join(cwd, directory, 'log.json'), JSON.stringify({ version: 9, id: 'x'.repeat(36) }))
}
const aFile = (name: string) => (cwd: string) => {
  mkdirSync(dirname(join(cwd, name)), { recursive: true })
  writeFileSync(join(cwd, name), 'a file')
}

const SETTINGS: Readonly<Record<string, Setting>> = {
  'a value out of range': { env: { PORT: '65536' }, names: 'PORT' },
  'a handler that is not there': { env: { HANDLERS: 'mine' }, names: 'HANDLERS' },
  'a data directory that is a file': { prepare: aFile('data'), env: {}, names: 'DATA_DIR' },
  'a data directory below a file': { prepare: aFile('x'), env: { DATA_DIR: './x/y/z' }, names: 'DATA_DIR' },
  'a log that is a file': {
    prepare: aFile('data/log'),
    env: {},
    names: 'DATA_DIR',
  },
  'dead letters that are a file': {
    prepare: aFile('data/dead-letters'),
    env: {},
    names: 'DATA_DIR',
  },
  'a log of another version': { prepare: version9('data/log'), env: {}, names: 'DATA_DIR' },
  'dead letters of another version': { prepare: version9('data/dead-letters/file'), env: {}, names: 'DATA_DIR' },
  'a file sink below a file': { prepare: aFile('x'), env: { FILE_SINK_DIR: 'x/out' }, names: 'FILE_SINK_DIR' },
  'an address of another machine': { env: { ADMIN_HOST: '192.0.2.1' }, names: 'ADMIN_HOST' },
  'a host that no name server knows': { env: { ADMIN_HOST: 'nowhere.invalid' }, names: 'ADMIN_HOST' },
  'a webhook without its secret': {
    prepare: (cwd) => {
      const hook = "{ provider: 'github', secretVariables: ['HOOK_SECRET'] }"
      writeFileSync(join(cwd, 'millrace.config.mjs'), `export default { hooks: { it: ${hook} } }`)
    },
    env: {},
    names: 'HOOK_SECRET',
  },
  'an http sink without its URL': { env: { SINKS: 'http' }, names: 'HTTP_SINK_URL' },
  'a database without a user': {
    env: { SINKS: 'postgres', POSTGRES_SINK_URL: 'postgres://h/db' },
    names: 'POSTGRES_SINK_URL',
  },
  'a secret that signs nothing': {
    env: { SINKS: 'http', HTTP_SINK_URL: 'http://127.0.0.1:1/', HTTP_SINK_SECRET: 'whsec_' },
    names: 'HTTP_SINK_SECRET',
  },
  'a percent sign in the address of the database': {
    env: { SINKS: 'postgres', POSTGRES_SINK_URL: 'postgres://u%@h/d' },
    names: 'POSTGRES_SINK_URL',
  },
  'a parameter of the database': {
    env: { SINKS: 'postgres', POSTGRES_SINK_URL: 'postgres://u@h/d?sslmode=no' },
    names: 'POSTGRES_SINK_URL',
  },
  'certificates of the database that are not there': {
    env: {
      SINKS: 'postgres',
      POSTGRES_SINK_URL: 'postgres://u@127.0.0.1:1/d',
      POSTGRES_SINK_TLS: 'verify',
      POSTGRES_SINK_CA_FILE: './none.pem',
    },
    names: 'POSTGRES_SINK_CA_FILE',
  },
  'a bucket that is none': { env: { SINKS: 's3', S3_SINK_BUCKET: 'A' }, names: 'S3_SINK_BUCKET' },
  'a certificate that is not there': {
    env: { TLS_CERT_FILE: './none', TLS_KEY_FILE: './none' },
    names: 'TLS_CERT_FILE',
  },
  'a certificate without its key': { env: { TLS_CERT_FILE: './none' }, names: 'TLS_CERT_FILE' },
  'a file of keys that is not there': { env: { API_KEYS_FILE: './none' }, names: 'API_KEYS_FILE' },
}

/** What `config --check` and a start say, each in a directory that has been prepared for it. */
async function both({ prepare, env }: Setting, uid?: number) {
  const run = async (args: string[]) => {
    const cwd = temporaryDirectory()
    prepare?.(cwd)
    if (uid !== undefined) chmodSync(cwd, 0o555)
    const before = readdirSync(cwd, { recursive: true })
    const { code, stdout, stderr } = await millrace(args, {
      cwd,
      env: { ...FREE, ...env },
      ...(uid !== undefined && { uid }),
    })
    if (args[0] === 'config') expect(readdirSync(cwd, { recursive: true })).toEqual(before)
    return [code, stdout, stderr.replaceAll(cwd, 'CWD')]
  }
  return [await run(['config', '--check']), await run(['serve'])]
}

const oneLineThatNames = (name: string) =>
  expect.stringMatching(new RegExp(`^millrace: [^\\n]*\\b${name}\\b[^\\n]*\\n$`))

describe('what a start refuses, in one line that names it, the check refuses in the same', () => {
  test.each(Object.entries(SETTINGS))('%s', async (_, setting) => {
    const [checked, started] = await both(setting)
    expect(checked).toEqual([2, '', oneLineThatNames(setting.names)])
    // The other listener may have been open for a moment, and have said so.
    expect([started?.[0], started?.[2]]).toEqual([2, checked?.[2]])
  })

  test('ports that others have, and one port for both', async () => {
    const [port] = await freePorts(1)
    for (const [env, names] of [
      [{ PORT: await usedPort() }, 'PORT'],
      [{ ADMIN_PORT: await usedPort() }, 'ADMIN_PORT'],
      [{ PORT: String(port), ADMIN_PORT: String(port) }, 'ADMIN_PORT'],
    ] as const) {
      const [checked, started] = await both({ env, names })
      expect(checked).toEqual([2, '', oneLineThatNames(names)])
      expect([started?.[0], started?.[2]]).toEqual([2, checked?.[2]])
    }
  })

  test.runIf(process.getuid?.() === 0)('directories that this user may not write', async () => {
    const [checked, started] = await both({ env: {}, names: 'DATA_DIR' }, 65_534)
    expect(checked).toEqual([2, '', oneLineThatNames('DATA_DIR')])
    expect(started).toEqual(checked)
  })
})

test('what is well is said, and nothing is made', async () => {
  const cwd = temporaryDirectory()
  const env = { ...FREE, SINKS: 'file,stdout,http', HTTP_SINK_URL: 'http://127.0.0.1:1', HANDLERS: 'sample' }
  expect(await millrace(['config', '--check'], { cwd, env })).toEqual({
    code: 0,
    stdout: 'a service would start with this configuration\n',
    stderr: '',
  })
  expect(readdirSync(cwd)).toEqual([])
})

test('beside the service that it is for: its log and its ports are no trouble, and are left alone', async () => {
  const cwd = temporaryDirectory()
  const service = await startService(cwd)
  const env = { PORT: new URL(service.url).port, ADMIN_PORT: new URL(service.adminUrl).port }
  const { code, stderr } = await millrace(['config', '--check'], { cwd, env })
  expect([code, stderr]).toEqual([
    0,
    expect.stringMatching(
      new RegExp(
        `^millrace: a Millrace is running here \\(process ${service.process.pid}\\), so its ports were not tried`,
      ),
    ),
  ])
  expect(await service.stop()).toBe(0)
})

test('a database that does not answer is no reason not to start, and is said', async () => {
  const env = { ...FREE, SINKS: 'postgres', POSTGRES_SINK_URL: 'postgres://u@127.0.0.1:1/d' }
  const { code, stderr } = await millrace(['config', '--check'], { env })
  expect([code, stderr]).toEqual([
    0,
    expect.stringMatching(/^millrace: the database of the postgres sink does not answer/),
  ])
})
