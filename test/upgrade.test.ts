/**
 * From version to version: what 0.1.0 has written is opened, what a later version has written is refused before anything is
 * changed, and `millrace upgrade` says what is different.
 */
import { execFileSync, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { cpSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Reader, readRecordsBatch } from '@platformatic/kafka'
import { expect, test } from 'vitest'
import { changesBetween } from '../app/cli/upgrade.ts'
import { taskOf } from '../app/delivery/single.ts'
import { Partitioner } from '../app/log/kafka/partitioner.ts'
import packageJson from '../package.json' with { type: 'json' }
import upgradeNotes from '../upgrade-notes.json' with { type: 'json' }
import { millrace } from './support/millrace.ts'
import { makeNextVersion, TOLD_OF_NEXT_VERSION } from './support/next-version.ts'
import { startService, until, whenReady } from './support/service.ts'
import { temporaryDirectory } from './support/temporary.ts'

const PROJECT = join(import.meta.dirname, '..')
const FIXTURE = join(import.meta.dirname, 'fixtures/0.1.0')
const DELIVERED = readFileSync(join(FIXTURE, 'delivered.ndjson'), 'utf8').trimEnd().split('\n')

/** A working directory with the data of 0.1.0 and a config whose route `late` begins at the oldest event. */
function project(): string {
  const directory = temporaryDirectory()
  for (const name of ['log', 'dead-letters', 'counters.json']) {
    cpSync(join(FIXTURE, name), join(directory, 'data', name), { recursive: true })
  }
  const route = (name: string) => `{ name: '${name}', sink: 'file', options: { FILE_SINK_DIR: './${name}' } }`
  const routes = `[${route('all')}, ${route('late')}]`
  writeFileSync(
    join(directory, 'millrace.config.ts'),
    `import { defineConfig } from 'millrace'\nexport default defineConfig({ routes: ${routes} })\n`,
  )
  return directory
}

function linesIn(directory: string): string[] {
  return readdirSync(directory).flatMap((file) => {
    const text = readFileSync(join(directory, file), 'utf8')
    return text.split('\n').filter((line) => line !== '')
  })
}

/** Of all files but those that each start makes. */
function digestOf(directory: string): string {
  const hash = createHash('sha256')
  for (const file of readdirSync(directory, { recursive: true, encoding: 'utf8' }).sort()) {
    const path = join(directory, file)
    if (!/\b(lock|reserve)$/.test(file) && statSync(path).isFile()) hash.update(`${file}\n`).update(readFileSync(path))
  }
  return hash.digest('hex')
}

test('the log, offsets, dead letters and counters of 0.1.0 are opened, and go on', async () => {
  const directory = project()
  const service = await startService(directory)
  await until(() => linesIn(join(directory, 'late')).length === 4, 10_000, 'the events for the new route')
  expect(linesIn(join(directory, 'late'))).toEqual(expect.arrayContaining(DELIVERED))
  const metrics = await (await fetch(`${service.adminUrl}/metrics`)).text()
  expect(metrics).toContain('\nmillrace_events_received_total 5\n')
  expect(metrics).toContain('\nmillrace_events_rejected_total{reason="invalid"} 1\n')
  expect(metrics).toContain('\nmillrace_events_committed_total 4\n')
  expect(metrics).toContain('\nmillrace_events_dead_lettered_total{sink="all"} 1\n')
  expect(await service.stop()).toBe(0)
  expect(linesIn(join(directory, 'all'))).toEqual([]) // its offset is at the end
  const { stdout } = await millrace(['dlq', 'list', '--json'], { cwd: directory })
  expect(JSON.parse(stdout)).toMatchObject({ event: { id: '3' } })
})

test('a format that is another one than in 0.1.0 is in the notes', async () => {
  const directory = temporaryDirectory()
  const service = await startService(directory)
  const headers = { 'content-type': 'application/json' }
  await fetch(`${service.url}/v1/events`, { method: 'POST', headers, body: '{"data":1}' })
  expect(await service.stop()).toBe(0)
  const versionsIn = (data: string) =>
    ['log/log.json', 'log/consumers.json', 'counters.json'].map(
      (file) => `${file} ${JSON.parse(readFileSync(join(data, file), 'utf8')).version}`,
    )
  const before = new Set(versionsIn(FIXTURE))
  const others = versionsIn(join(directory, 'data')).filter((version) => !before.has(version))
  const noted = changesBetween(upgradeNotes as never, '0.1.0', packageJson.version).filter(
    ({ kind }) => kind === 'format',
  )
  expect(noted.map(({ name }) => name)).toEqual(expect.arrayContaining(others.map((text) => text.split(' ')[0])))
})

test('records of 0.1.0 in Kafka are events, and a key is in the partition that it was in', () => {
  const { records } = readRecordsBatch(Reader.from(readFileSync(join(FIXTURE, 'kafka-record-batch.bin'))))
  expect(records.map(({ value }) => String(value))).toEqual(DELIVERED)
  for (const [offset, { value }] of records.entries()) {
    const task = taskOf(value as Buffer, offset)
    expect(typeof task === 'string' ? task : task.event).toMatchObject({ id: JSON.parse(DELIVERED[offset] ?? '').id })
  }
  const partitioner = new Partitioner(12)
  const placed = records.map(({ key }) => [String(key), partitioner.place(String(key)).partition])
  expect(Object.fromEntries(placed)).toEqual(PARTITIONS_OF_12)
})

test('what a later version adds to a record in Kafka is an extension attribute here, and is delivered as it is', () => {
  const later = (DELIVERED[0] ?? '').replace(/}$/, ',"ofalaterversion":"1"}')
  const task = taskOf(Buffer.from(later), 0)
  expect(typeof task === 'string' ? task : task.event).toEqual(JSON.parse(later))
})

/** Murmur2, as Kafka's own clients have it: it never changes. */
const PARTITIONS_OF_12 = { a: 4, millrace: 2, '/shop': 1 }

const DEAD_LETTERS = 'dead-letters/all/log.json'
const DEAD_SEGMENT = 'dead-letters/all/00000000000000000000.seg'

test.each([
  ['log/log.json', (data: string) => writeLater(data, 'log/log.json', { version: 2 }, 'log/00000000000000000000.seg')],
  ['log/consumers.json', (data: string) => writeLater(data, 'log/consumers.json', { version: 3, sinks: [] })],
  ['counters.json', (data: string) => writeLater(data, 'counters.json', { version: 2 })],
  ['dead-letters/all/log.json', (data: string) => writeLater(data, DEAD_LETTERS, { version: 2 }, DEAD_SEGMENT)],
])('a later format of %s is refused with one sentence, and nothing is changed', async (_file, change) => {
  const directory = project()
  const data = join(directory, 'data')
  change(data)
  const before = digestOf(data)
  for (const command of [['serve'], ['config', '--check']]) {
    const { code, stdout, stderr } = await millrace(command, {
      cwd: directory,
      env: { PORT: '0', ADMIN_PORT: '0', LOG_LEVEL: 'warn' },
    })
    expect([code, stdout, stderr.trimEnd().split('\n').length]).toEqual([2, '', 1])
    expect(stderr).toMatch(/later version of Millrace wrote|has format version 2; this Millrace reads version 1/)
  }
  expect(digestOf(data)).toBe(before)
})

test('a config file with a key of a later version is refused with one sentence, and nothing is changed', async () => {
  const directory = project()
  const config = join(directory, 'millrace.config.ts')
  writeFileSync(config, readFileSync(config, 'utf8').replace('{ routes:', '{ enrichments: {}, routes:'))
  const before = digestOf(join(directory, 'data'))
  for (const command of [['serve'], ['config', '--check']]) {
    const ran = await millrace(command, { cwd: directory, env: { PORT: '0', ADMIN_PORT: '0' } })
    const line = 'millrace: millrace.config.ts: there is no "enrichments" in it: use handlers, sinks, routes, hooks\n'
    expect(ran).toMatchObject({ code: 2, stdout: '', stderr: line })
  }
  expect(digestOf(join(directory, 'data'))).toBe(before)
})

/** As a later version may write it; a segment's version is in its header. */
function writeLater(data: string, file: string, change: object, segment?: string): void {
  const path = join(data, file)
  writeFileSync(path, JSON.stringify({ ...JSON.parse(readFileSync(path, 'utf8')), ...change, crc32: 1 }))
  if (segment === undefined) return
  const bytes = readFileSync(join(data, segment))
  bytes.writeUInt16LE(2, 8)
  writeFileSync(join(data, segment), bytes)
}

function nextVersion(): string {
  const directory = join(temporaryDirectory(), 'millrace')
  execFileSync(process.execPath, [join(PROJECT, 'scripts/build.ts'), directory, '--npm'])
  symlinkSync(join(PROJECT, 'node_modules'), join(directory, 'node_modules'))
  makeNextVersion(directory)
  return join(directory, 'app/cli.js')
}

test('a project goes over a change of a format: told of before, opened by the next version, refused by this one', async () => {
  const directory = project()
  writeFileSync(join(directory, 'package.json'), '{"type":"module","millrace":{"version":"0.1.0"}}')
  const cli = nextVersion()
  const next = (...args: string[]) =>
    spawn(process.execPath, [cli, ...args], {
      cwd: directory,
      env: { PATH: process.env.PATH, PORT: '0', ADMIN_PORT: '0', SHUTDOWN_GRACE_MS: '0' },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
  const told = next('upgrade', '--check')
  let text = ''
  told.stdout.setEncoding('utf8').on('data', (part) => (text += part))
  expect(await new Promise((done) => told.on('close', done))).toBe(1)
  expect(text.trimEnd().split('\n')).toEqual(TOLD_OF_NEXT_VERSION)
  const service = await whenReady(next('serve'))
  await until(() => linesIn(join(directory, 'late')).length === 4, 10_000, 'the events for the new route')
  expect(await service.stop()).toBe(0)
  expect(linesIn(join(directory, 'all'))).toEqual([]) // its offset was read

  const before = digestOf(join(directory, 'data'))
  const { code, stderr } = await millrace(['serve'], { cwd: directory, env: { PORT: '0', ADMIN_PORT: '0' } })
  expect([code, stderr]).toEqual([
    2,
    expect.stringMatching(/^millrace: a later version of Millrace wrote .*consumers\.json/),
  ])
  expect(digestOf(join(directory, 'data'))).toBe(before)
})

test('every version of the changelog has notes, and the notes have no other versions', () => {
  const changelog = readFileSync(join(PROJECT, 'CHANGELOG.md'), 'utf8')
  const released = [...changelog.matchAll(/^## \[(\d+\.\d+\.\d+)\]/gm)].map(([, version]) => version)
  const versions = new Set([packageJson.version, ...released])
  expect(new Set(upgradeNotes.versions.map(({ version }) => version))).toEqual(versions)
})

test('upgrade in a project writes its version down once nothing has to be done', async () => {
  const directory = temporaryDirectory()
  mkdirSync(join(directory, 'src'))
  writeFileSync(join(directory, 'package.json'), '{"name":"mine","millrace":{"version":"0.0.9"}}')
  const upgraded = await millrace(['upgrade', '--check'], { cwd: directory })
  expect([upgraded.code, upgraded.stdout]).toEqual([
    0,
    `0.0.9 → ${packageJson.version}: 0 changes, nothing has to be done\n`,
  ])
  const versionIn = () => JSON.parse(readFileSync(join(directory, 'package.json'), 'utf8')).millrace.version
  expect(versionIn()).toBe('0.0.9')
  expect((await millrace(['upgrade'], { cwd: directory })).code).toBe(0)
  expect(versionIn()).toBe(packageJson.version)
})

test.each([
  ['{', [], /^millrace: package\.json in \S+ cannot be read/],
  ['{}', [], /^millrace: package\.json has no "millrace"/],
  ['{}', ['--from', 'latest'], /^millrace: "latest" is not a version: write one such as 0\.1\.0/],
  [
    '{}',
    ['--from', '99.0.0'],
    /^millrace: this is \S+, and the project was made for 99\.0\.0: install millrace@99\.0\.0/,
  ],
])('upgrade with package.json %s and %j says what is wrong', async (manifest, args, wanted) => {
  const directory = temporaryDirectory()
  writeFileSync(join(directory, 'package.json'), manifest)
  const { code, stderr } = await millrace(['upgrade', '--check', ...args], { cwd: directory })
  expect([code, stderr]).toEqual([2, expect.stringMatching(wanted)])
})
