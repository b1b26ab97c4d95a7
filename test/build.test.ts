/**
 * What `scripts/build.ts` makes, as `npm start` and the image run it. Signals, image and package have tests of their
 * own.
 */
import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
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
