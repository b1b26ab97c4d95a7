/**
 * `npm run package`: the release as one archive, `dist/millrace-<version>.tar.gz`, with its `.sha256` beside it. The
 * service with what it needs in production, for any Linux with Node 22.22 or later; the same files give the same bytes.
 */
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'

const PROJECT = resolve(import.meta.dirname, '..')
const FILES = ['package-lock.json', 'LICENSE', 'README.md']
/** Any moment, as long as it is always the same one. */
const MODIFIED_AT = '2026-01-01 00:00:00Z'

const { version } = JSON.parse(readFileSync(join(PROJECT, 'package.json'), 'utf8'))
const name = `millrace-${version}`
const work = mkdtempSync(join(tmpdir(), 'millrace-package-'))
try {
  const root = join(work, name)
  console.error(`1 of 3: copy the files of ${name}`)
  for (const file of FILES) cpSync(join(PROJECT, file), join(root, file))
  execFileSync(process.execPath, [join(PROJECT, 'scripts/build.ts'), root])
  execFileSync(process.execPath, [join(PROJECT, 'scripts/declarations.ts'), root])
  rmSync(join(root, '.made-of')) // needed only for a later build
  console.error('2 of 3: install what production needs')
  // The optional dependency is Node itself, which comes with the machine. Nothing that is installed needs a script.
  const install = ['ci', '--omit=dev', '--omit=optional', '--ignore-scripts', '--no-audit', '--no-fund']
  execFileSync('npm', install, { cwd: root, stdio: ['ignore', 'ignore', 'inherit'] })
  const prebuilds = join(root, 'node_modules/fs-native-extensions/prebuilds')
  for (const system of readdirSync(prebuilds)) {
    if (!system.startsWith('linux-')) rmSync(join(prebuilds, system), { recursive: true })
  }
  console.error('3 of 3: pack')
  const archive = join(work, `${name}.tar`)
  const same = [
    '--sort=name',
    `--mtime=${MODIFIED_AT}`,
    '--owner=0',
    '--group=0',
    '--numeric-owner',
    '--mode=u=rwX,go=rX',
  ]
  execFileSync('tar', [...same, '--format=gnu', '-cf', archive, '-C', work, name])
  execFileSync('gzip', ['-9n', archive])
  const bytes = readFileSync(`${archive}.gz`)
  const directory = join(PROJECT, 'dist')
  mkdirSync(directory, { recursive: true })
  writeFileSync(join(directory, `${name}.tar.gz`), bytes)
  const sha256 = createHash('sha256').update(bytes).digest('hex')
  writeFileSync(join(directory, `${name}.tar.gz.sha256`), `${sha256}  ${name}.tar.gz\n`)
  console.error(`dist/${name}.tar.gz  ${(bytes.length / 1e6).toFixed(1)} MB  sha256 ${sha256}`)
} finally {
  rmSync(work, { recursive: true, force: true })
}
