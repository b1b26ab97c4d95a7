/**
 * `node scripts/declarations.ts <directory> [--npm]`: the types of what is exported, beside its built modules, for whoever compiles
 * against the package: of `millrace/client`, and with `--npm` of all that the npm package exports. Of each module only where
 * an exported one names it.
 */
import { execFileSync } from 'node:child_process'
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'

const PROJECT = resolve(import.meta.dirname, '..')
const CLIENT = ['app/client/client', 'app/client/spool', 'app/client/indexed-db']
const OF_NPM = ['app/index', 'app/testing/index', 'infra/index']
/** A declaration names other ones as the modules are named that they describe. */
const LOCAL_MODULE = /(['"])(\.{1,2}\/[^'"\n]+)\.ts\1/g

const directory = resolve(process.argv[2] ?? join(PROJECT, 'build'))
const entries = process.argv.includes('--npm') ? [...CLIENT, ...OF_NPM] : CLIENT
const made = mkdtempSync(join(tmpdir(), 'millrace-declarations-'))
try {
  // Checked by `npm run types`, browsers and Node apart from each other; here both have to be known at once.
  const emit = ['--declaration', '--emitDeclarationOnly', '--allowImportingTsExtensions', '--outDir', made]
  const language = ['--strict', '--exactOptionalPropertyTypes', '--noUncheckedIndexedAccess', '--skipLibCheck']
  const modules = ['--module', 'nodenext', '--target', 'es2024', '--types', 'node']
  execFileSync(
    process.execPath,
    [
      join(PROJECT, 'node_modules/typescript/bin/tsc'),
      ...['--ignoreConfig', ...entries.map((name) => `${name}.ts`), 'app/log/embedded/fs-native-extensions.d.ts'],
      ...['app/json/webassembly.d.ts', ...emit, '--rootDir', PROJECT, ...language, ...modules],
      ...['--lib', 'es2024,esnext.disposable,esnext.iterator,dom'],
    ],
    { cwd: PROJECT, stdio: 'inherit' },
  )
  const named = new Set(entries.map((name) => `${name}.d.ts`))
  for (const file of named) {
    const text = readFileSync(join(made, file), 'utf8')
    for (const [, , name] of text.matchAll(LOCAL_MODULE)) {
      const path = join(dirname(file), `${name}.d.ts`)
      if (existsSync(join(made, path))) named.add(path)
    }
    writeFileSync(join(made, file), text.replaceAll(LOCAL_MODULE, '$1$2.js$1'))
    cpSync(join(made, file), join(directory, file))
  }
} finally {
  rmSync(made, { recursive: true, force: true })
}
