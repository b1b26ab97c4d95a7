/**
 * `node scripts/declarations.ts <directory>`: the types of `millrace/client` beside its built modules, for whoever
 * compiles against the package. Only a package needs them: the service itself is never compiled against.
 */
import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'

const PROJECT = resolve(import.meta.dirname, '..')
const ENTRIES = ['client', 'spool', 'indexed-db'].map((name) => `app/client/${name}.ts`)
/** A declaration names other ones as the modules are named that they describe. */
const LOCAL_MODULE = /(['"])(\.{1,2}\/[^'"\n]+)\.ts\1/g

const directory = resolve(process.argv[2] ?? join(PROJECT, 'build'))
// Checked by `npm run types`, browsers and Node apart from each other; here both have to be known at once.
const emit = ['--declaration', '--emitDeclarationOnly', '--allowImportingTsExtensions', '--outDir', directory]
const language = ['--strict', '--skipLibCheck', '--module', 'nodenext', '--target', 'es2024', '--types', 'node']
execFileSync(
  process.execPath,
  [
    join(PROJECT, 'node_modules/typescript/bin/tsc'),
    ...['--ignoreConfig', ...ENTRIES, ...emit, '--rootDir', PROJECT, ...language],
    ...['--lib', 'es2024,esnext.disposable,dom'],
  ],
  { cwd: PROJECT, stdio: 'inherit' },
)
for (const room of ['app/client', 'app/event']) {
  for (const name of readdirSync(join(directory, room)).filter((file) => file.endsWith('.d.ts'))) {
    const path = join(directory, room, name)
    writeFileSync(path, readFileSync(path, 'utf8').replaceAll(LOCAL_MODULE, '$1$2.js$1'))
  }
}
