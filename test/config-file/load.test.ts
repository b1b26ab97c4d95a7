/** The config file as users have it: found, loaded and shown by the real command, in a directory of its own. */
import { execFileSync } from 'node:child_process'
import { cpSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { millrace } from '../support/millrace.ts'
import { temporaryDirectory } from '../support/temporary.ts'

const PROJECT = join(import.meta.dirname, '../..')
const FREE = { PORT: '0', ADMIN_PORT: '0' }
const WITH_HANDLER = (name: string) => `export default { handlers: { ${name}: (event) => event } }\n`

function directoryWith(files: Readonly<Record<string, string>>): string {
  const directory = temporaryDirectory()
  for (const [name, text] of Object.entries(files)) writeFileSync(join(directory, name), text)
  return directory
}

/** What `millrace config` says of the file, its handlers, its sinks and all routes. */
async function shown(cwd: string, args: readonly string[] = [], env: Readonly<Record<string, string>> = {}) {
  const { code, stdout, stderr } = await millrace(['config', ...args], { cwd, env })
  expect([code, stderr]).toEqual([0, ''])
  return stdout.split('\n').filter((line) => /^file| {2}route /.test(line))
}

describe('the file is', () => {
  test.each(['millrace.config.ts', 'millrace.config.js', 'millrace.config.mjs'])(
    '%s in the working directory',
    async (name) => {
      const cwd = directoryWith({ [name]: WITH_HANDLER('mine'), 'package.json': '{"type":"module"}' })
      expect(await shown(cwd)).toEqual([
        `file         ${name}`,
        'file         handlers: mine',
        'file         sinks: none',
        'default      route file: every event into file',
      ])
    },
  )

  test('the one that --config names, relative to the working directory', async () => {
    const cwd = directoryWith({ 'other.mjs': WITH_HANDLER('other'), 'millrace.config.mjs': WITH_HANDLER('mine') })
    expect((await shown(cwd, ['--config', './other.mjs'])).slice(0, 2)).toEqual([
      'file         other.mjs',
      'file         handlers: other',
    ])
  })

  test('else the one beside the app/ that runs', async () => {
    expect((await shown(temporaryDirectory())).slice(0, 2)).toEqual([
      `file         ${join(PROJECT, 'millrace.config.ts')}`,
      'file         handlers: sample',
    ])
  })
})

test('what it imports as millrace is what runs, wherever it lies: its classes are those of the service', async () => {
  const cwd = directoryWith({
    'millrace.config.ts': `import { defineConfig, MillraceError, type Handler } from 'millrace'
import { createClient } from 'millrace/client'
import { openSpool } from 'millrace/client/spool'
import { batchOf } from 'millrace/testing'
const keep: Handler = (event) => event
const sink = () => {
  if (batchOf([{ data: 1 }]).length === 1 && createClient && openSpool) throw new MillraceError('CONFIG_INVALID', 'the message of a class that is known')
}
export default defineConfig({ handlers: { keep }, sinks: { mine: sink as never }, routes: [{ name: 'a', sink: 'mine' }] })
`,
  })
  const { code, stderr } = await millrace(['serve'], { cwd, env: FREE })
  const line =
    'millrace: sink "mine" of millrace.config.ts, for route "a", cannot be made: the message of a class that is known\n'
  expect([code, stderr]).toEqual([2, line])
})

describe('a start and `config` end with exit code 2 and one line for', () => {
  test.each<[string, Readonly<Record<string, string>>, readonly string[], RegExp]>([
    ['a file that is not there', {}, ['--config', 'none.ts'], /^--config: there is no file none\.ts$/],
    [
      'two files',
      { 'millrace.config.ts': '', 'millrace.config.mjs': '' },
      [],
      /^millrace\.config\.ts and millrace\.config\.mjs are both in \S+: remove one, or name one with --config$/,
    ],
    [
      'a file that is no module',
      { 'mine.json': '{}' },
      ['--config', 'mine.json'],
      /^--config: mine\.json is no module: /,
    ],
    [
      'a file with nothing in it',
      { 'millrace.config.ts': '' },
      [],
      /^millrace\.config\.ts: there is no default export: /,
    ],
    [
      'TypeScript that is malformed',
      { 'millrace.config.ts': 'export default {\n' },
      [],
      /^millrace\.config\.ts: it cannot be loaded, line 1: /,
    ],
    [
      'JavaScript that is malformed',
      { 'millrace.config.mjs': '\nexport default {\n' },
      [],
      /^millrace\.config\.mjs: it cannot be loaded: Unexpected end of input \(node --check millrace\.config\.mjs shows the line\)$/,
    ],
    [
      'one that throws',
      { 'millrace.config.mjs': "\nthrow new Error('no \\u001b[2J today\\nor ever')\n" },
      [],
      /^millrace\.config\.mjs: it cannot be loaded, line 2:7: no \\u001b\[2J today$/,
    ],
    [
      'a module that is missing',
      { 'millrace.config.mjs': "import './handlers.mjs'\n" },
      [],
      /^millrace\.config\.mjs: it cannot be loaded: Cannot find module '\S+handlers\.mjs'/,
    ],
    [
      'a route to a sink that is misspelt',
      { 'millrace.config.mjs': "export default { routes: [{ name: 'a', sink: 'flie' }] }\n" },
      [],
      /^route "a" in millrace\.config\.mjs: sink: there is no "flie": did you mean file\?$/,
    ],
  ])('%s', async (_, files, args, message) => {
    const cwd = directoryWith(files)
    const runs = await Promise.all(
      ['config', 'serve'].map((command) => millrace([command, ...args], { cwd, env: FREE })),
    )
    for (const { code, stdout, stderr } of runs) {
      expect([code, stdout]).toEqual([2, ''])
      expect(stderr).toMatch(/^millrace: [^\n]+\n$/)
      expect(stderr.slice('millrace: '.length, -1)).toMatch(message)
    }
  })
})

test('in a build it is JavaScript beside app/, with what it imports from beside it', async () => {
  const project = temporaryDirectory()
  for (const part of ['app', 'scripts', 'package.json', 'upgrade-notes.json'])
    cpSync(join(PROJECT, part), join(project, part), { recursive: true })
  symlinkSync(join(PROJECT, 'node_modules'), join(project, 'node_modules'))
  mkdirSync(join(project, 'handlers'))
  writeFileSync(
    join(project, 'millrace.config.ts'),
    `import { defineConfig } from 'millrace'
import names from './handlers/names.json' with { type: 'json' }
import { mark } from './handlers/mark.ts'
export default defineConfig({ handlers: { mark, [names[0] as string]: mark } })\n`,
  )
  writeFileSync(join(project, 'handlers/names.json'), '["other"]')
  writeFileSync(
    join(project, 'handlers/mark.ts'),
    "import type { Handler } from 'millrace'\nexport const mark: Handler = (event) => event\n",
  )
  execFileSync(process.execPath, [join(project, 'scripts/build.ts')], { cwd: project })
  const run = execFileSync(process.execPath, [join(project, 'build/app/cli.js'), 'config'], {
    cwd: temporaryDirectory(),
    encoding: 'utf8',
    env: { PATH: process.env.PATH },
  })
  expect(run).toContain(
    `file         ${join(project, 'build/millrace.config.js')}\nfile         handlers: mark, other\n`,
  )
})
