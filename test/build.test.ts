/**
 * What `scripts/build.ts` makes, as `npm start` and the image run it. Signals, image and package have tests of their
 * own.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { temporaryDirectory } from './support/temporary.ts'

const PROJECT = join(import.meta.dirname, '..')
const build = (directory: string) => execFileSync(process.execPath, [join(PROJECT, 'scripts/build.ts'), directory])
const filesIn = (directory: string) =>
  readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(directory.length + 1))

function built(): string {
  const directory = temporaryDirectory()
  build(directory)
  return directory
}

test('each line and column of a module is that of its source', () => {
  const directory = built()
  const modules = filesIn(directory).filter((file) => file.startsWith('app/') && !file.includes('/page/'))
  const scripts = modules.filter((file) => file.endsWith('.js'))
  expect(scripts.length).toBeGreaterThan(100)
  for (const file of scripts) {
    const source = readFileSync(join(PROJECT, file.replace(/\.js$/, '.ts')), 'utf8')
    // What a module is named by is the one thing that differs, and is as long.
    const isSame = readFileSync(join(directory, file), 'utf8')
      .split('\n')
      .map(({ length }) => length)
    expect(isSame, file).toEqual(source.split('\n').map(({ length }) => length))
  }
})

test('nothing in it asks for TypeScript, and nothing of it is left out', () => {
  const directory = built()
  const files = filesIn(directory)
  expect(files.filter((file) => file.endsWith('.ts'))).toEqual([])
  expect(files).toEqual(expect.arrayContaining(['package.json', 'app/json/scanner.wasm', 'app/admin/page/index.html']))
  for (const file of files.filter((name) => name.endsWith('.js'))) {
    expect(readFileSync(join(directory, file), 'utf8'), file).not.toMatch(/['"]\.{1,2}\/[^'"\n]+\.ts['"]/)
  }
})

test('once more: nothing is made while it is of the same sources, and what has no source goes when it is made', () => {
  const directory = built()
  const [kept, gone, stamp] = ['app/app.js', 'app/gone.js', '.made-of'].map((file) => join(directory, file)) as [
    string,
    string,
    string,
  ]
  for (const file of [kept, gone]) writeFileSync(file, '// changed')
  build(directory)
  expect([readFileSync(kept, 'utf8'), existsSync(gone)]).toEqual(['// changed', true])
  writeFileSync(stamp, 'of others')
  build(directory)
  expect([readFileSync(kept, 'utf8'), existsSync(gone)]).toEqual([expect.stringMatching(/^\/\*\*\n/), false])
})

test('as in the image: a config in /app/project, with packages of its own, uses the millrace that runs', () => {
  const directory = built()
  symlinkSync(join(PROJECT, 'node_modules'), join(directory, 'node_modules'))
  const project = join(directory, 'project')
  mkdirSync(join(project, 'node_modules/own'), { recursive: true })
  writeFileSync(
    join(project, 'node_modules/own/package.json'),
    '{"name":"own","version":"1.0.0","type":"module","exports":"./own.js"}',
  )
  writeFileSync(join(project, 'node_modules/own/own.js'), "export const word = 'of its own'")
  writeFileSync(
    join(project, 'millrace.config.ts'),
    `import { defineConfig, type Event } from 'millrace'
import { word } from 'own'
export default defineConfig({ handlers: { mark: (event: Event) => ({ ...event, data: word }) } })
`,
  )
  writeFileSync(join(directory, 'events.ndjson'), '{"id":1,"data":"x"}')
  const command = ['handler', 'test', 'events.ndjson', '-H', 'mark', '--config', 'project/millrace.config.ts']
  const { status, stdout, stderr } = spawnSync(process.execPath, ['app/cli.js', ...command], {
    cwd: directory,
    encoding: 'utf8',
  })
  expect([status, stdout], stderr).toEqual([0, expect.stringContaining('of its own')])
})

/** A project that has the built package installed. */
function consumer(directory: string): string {
  const project = temporaryDirectory()
  mkdirSync(join(project, 'node_modules'))
  symlinkSync(directory, join(project, 'node_modules/millrace'))
  writeFileSync(join(project, 'package.json'), '{"type":"module"}')
  return project
}

test('a program that has it installed sends with millrace/client, and nothing else of it can be imported', () => {
  const project = consumer(built())
  const program = `import { createClient } from 'millrace/client'
    import { openSpool } from 'millrace/client/spool'
    import { openIndexedDb } from 'millrace/client/indexed-db'
    const other = await import('millrace/app/main.js').catch(({ code }) => code)
    console.log(typeof createClient, typeof openSpool, typeof openIndexedDb, other)`
  const stdout = execFileSync(process.execPath, ['--input-type=module', '--eval', program], { cwd: project })
  expect(stdout.toString()).toBe('function function function ERR_PACKAGE_PATH_NOT_EXPORTED\n')
})

test('a program is compiled against the types of the client, as strictly as it likes', () => {
  const directory = built()
  execFileSync(process.execPath, [join(PROJECT, 'scripts/declarations.ts'), directory])
  const project = consumer(directory)
  writeFileSync(
    join(project, 'program.ts'),
    `import { createClient, type Problem, type TrackedEvent } from 'millrace/client'
import { openIndexedDb } from 'millrace/client/indexed-db'
import { openSpool } from 'millrace/client/spool'
const onRejected = (events: readonly TrackedEvent[], { detail }: Problem) => [events.length, detail]
export const client = createClient({ url: 'http://localhost:3000', store: openSpool({ directory: 'spool' }), onRejected })
createClient({ url: '/', store: openIndexedDb() })
export const id: string | undefined = client.track({ type: 'order.created', data: { total: 1 } })
client.track({ type: 7 })
createClient({ uri: '/' })
`,
  )
  const strict = ['--strict', '--exactOptionalPropertyTypes', '--noUncheckedIndexedAccess', '--noEmit']
  const options = ['--module', 'nodenext', '--target', 'es2022', '--lib', 'es2022,dom', '--types', '']
  const compiler = join(PROJECT, 'node_modules/typescript/bin/tsc')
  const { stdout } = spawnSync(process.execPath, [compiler, ...strict, ...options, 'program.ts'], {
    cwd: project,
    encoding: 'utf8',
  })
  const errors = [...stdout.matchAll(/^(\S+)\((\d+),\d+\): error (TS\d+)/gm)].map(([, file, line]) => `${file}:${line}`)
  expect(errors, stdout).toEqual(['program.ts:8', 'program.ts:9'])
})
