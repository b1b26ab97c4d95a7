/**
 * `npm run npm-packages`: the two npm packages of the release, `dist/millrace-<version>.tgz` and
 * `dist/create-millrace-<version>.tgz`. `npm publish dist/<file>` is what the release workflow does with them. Why they
 * are packed from directories that are made, not from the clone: docs/decisions/0037-package.md.
 */
import { execFileSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { stripTypeScriptTypes } from 'node:module'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'

const PROJECT = resolve(import.meta.dirname, '..')
const CREATE = join(PROJECT, 'create-millrace')
/** Dependencies of the stacks and of deployments: users who do not deploy need not install them. */
const AWS_CLIENTS = ['ec2', 'ecr', 'iam', 'route-53', 'service-quotas', 'sns', 'sts'].map(
  (name) => `@aws-sdk/client-${name}`,
)
const PEERS = [...AWS_CLIENTS, '@cdktf/provider-aws', 'cdktf', 'constructs', 'yaml']
/** What only the clone needs. */
const OF_THE_CLONE = ['private', 'scripts', 'optionalDependencies', 'devDependencies', 'allowScripts']
/** They read `infra/config.ts` and run `npm run pipeline`, which a new project has as well. */
const WORKFLOWS = ['actions/prepare', 'workflows/deploy.yaml', 'workflows/environment.yaml', 'workflows/drift.yaml']
/** Where the workflow runs: npm's provenance compares it with the repository of the package. */
const REPOSITORY = process.env.GITHUB_REPOSITORY ?? 'example/millrace'

type Manifest = { readonly version: string } & Readonly<Record<string, unknown>>
type Versions = Readonly<Record<string, string>>

const output = resolve(process.argv[2] ?? join(PROJECT, 'dist'))
// It says that the function which removes types may still change.
process.removeAllListeners('warning')
const work = mkdtempSync(join(tmpdir(), 'millrace-npm-'))
try {
  mkdirSync(output, { recursive: true })
  for (const directory of [millrace(join(work, 'millrace')), createMillrace(join(work, 'create-millrace'))]) {
    execFileSync('npm', ['pack', '--silent', '--pack-destination', output], { cwd: directory, stdio: 'inherit' })
  }
} finally {
  rmSync(work, { recursive: true, force: true })
}

function millrace(directory: string): string {
  for (const script of ['build', 'declarations']) {
    execFileSync(process.execPath, [join(PROJECT, `scripts/${script}.ts`), directory, '--npm'])
  }
  rmSync(join(directory, '.made-of')) // needed only for a later build
  for (const file of ['LICENSE', 'README.md']) cpSync(join(PROJECT, file), join(directory, file))
  const built = manifest(directory)
  const versions = built.devDependencies as Versions
  write(directory, {
    ...Object.fromEntries(Object.entries(built).filter(([key]) => !OF_THE_CLONE.includes(key))),
    ...repository(),
    bin: { millrace: 'app/cli.js', 'millrace-infra': 'infra/deploy.js', 'millrace-pipeline': 'infra/pipeline/main.js' },
    peerDependencies: Object.fromEntries(PEERS.map((name) => [name, atLeast(versions[name])])),
    peerDependenciesMeta: Object.fromEntries(PEERS.map((name) => [name, { optional: true }])),
  })
  return directory
}

/** The program without types, and the files of a new project with the versions that Millrace itself is tested with. */
function createMillrace(directory: string): string {
  cpSync(join(CREATE, 'template'), join(directory, 'template'), { recursive: true })
  for (const path of WORKFLOWS) {
    cpSync(join(PROJECT, '.github', path), join(directory, 'template/.github', path), { recursive: true })
  }
  for (const file of ['LICENSE', 'package.json']) {
    cpSync(join(file === 'LICENSE' ? PROJECT : CREATE, file), join(directory, file))
  }
  const program = readFileSync(join(CREATE, 'create.ts'), 'utf8')
  writeFileSync(join(directory, 'create.js'), stripTypeScriptTypes(program))
  const { version, dependencies, devDependencies, optionalDependencies } = manifest(PROJECT)
  write(directory, { ...manifest(directory), ...repository(), version })
  const known: Versions = {
    version,
    ...(dependencies as Versions),
    ...(devDependencies as Versions),
    ...(optionalDependencies as Versions),
  }
  const template = join(directory, 'template')
  const text = readFileSync(join(template, 'package.json'), 'utf8')
  writeFileSync(
    join(template, 'package.json'),
    text.replaceAll(
      /"([^"]+)": "\*"/g,
      (_, name) => `"${name}": "${name === 'millrace' ? `^${version}` : known[name]}"`,
    ),
  )
  const dockerfile = readFileSync(join(template, 'Dockerfile'), 'utf8')
  const image = `ghcr.io/${REPOSITORY.toLowerCase()}:${version}`
  writeFileSync(join(template, 'Dockerfile'), dockerfile.replace('millrace:current', image))
  return directory
}

function repository() {
  return { repository: { type: 'git', url: `git+https://github.com/${REPOSITORY}.git` } }
}

function manifest(directory: string): Manifest {
  return JSON.parse(readFileSync(join(directory, 'package.json'), 'utf8'))
}

function write(directory: string, content: object): void {
  writeFileSync(join(directory, 'package.json'), `${JSON.stringify(content, undefined, 2)}\n`)
}

/** This version or a later one that promises the same. */
function atLeast(version: string | undefined): string {
  return `^${String(version).replace(/^[\^~]/, '')}`
}
