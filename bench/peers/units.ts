/** What is installed in one go, by `install.ts`: the sources in a directory of that name, and what is made of them. */
import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'

const HERE = import.meta.dirname
/** Not in the repository. */
const INSTALLED = join(HERE, '.installed')

export type Step = readonly [command: string, ...args: string[]]

export class Unit {
  readonly name: string
  readonly source: string
  readonly target: string
  /** Holds the digest of the sources that were installed last. */
  readonly stamp: string
  /** Holds why installing them failed. */
  readonly failure: string
  /** Run in `source`, one after the other. */
  readonly steps: readonly Step[]
  readonly #tool: string
  readonly #toolHint: string

  constructor(name: string, tool: string, toolHint: string, steps: (target: string) => readonly Step[]) {
    this.name = name
    this.source = join(HERE, name)
    this.target = join(INSTALLED, name)
    this.stamp = join(this.target, 'stamp')
    this.failure = join(this.target, 'failure')
    this.steps = steps(this.target)
    this.#tool = tool
    this.#toolHint = toolHint
  }

  /** Of all that is compiled or installed: when it is other, what is installed is not what it would be now. */
  digest(): string {
    const hash = createHash('sha256')
    for (const file of readdirSync(this.source, { recursive: true, encoding: 'utf8' }).sort()) {
      if (/\.(rs|toml|lock|txt|go|mod|sum)$/.test(file)) hash.update(file).update(readFileSync(join(this.source, file)))
    }
    return hash.digest('hex')
  }

  /** Why it cannot be installed at all. */
  withoutTool(): string | undefined {
    const directories = (process.env.PATH ?? '').split(delimiter)
    if (directories.some((directory) => existsSync(join(directory, this.#tool)))) return undefined
    return `there is no ${this.#tool}: ${this.#toolHint}, then npm run bench:peers`
  }

  missing(): string | undefined {
    if (existsSync(this.stamp) && readFileSync(this.stamp, 'utf8') === this.digest()) return undefined
    if (existsSync(this.failure)) return `it could not be installed: ${readFileSync(this.failure, 'utf8')}`
    return this.withoutTool() ?? 'it is not installed, or has changed since: npm run bench:peers'
  }

  /** @param pattern finds `name` and `version` in a file of the sources. */
  versions(file: string, pattern: RegExp): string {
    const text = readFileSync(join(this.source, file), 'utf8')
    return [...text.matchAll(pattern)].map(({ groups }) => `${groups?.name} ${groups?.version}`).join(', ')
  }
}

export const rust = new Unit('rust', 'cargo', 'install Rust 1.85 or newer (https://rustup.rs)', (target) => [
  ['cargo', 'build', '--release', '--locked', '--target-dir', target],
])

function python(name: string): Unit {
  return new Unit(name, 'python3', 'install Python 3.10 or newer with its venv module', (target) => [
    ['python3', '-m', 'venv', join(target, 'venv')],
    [
      join(target, 'venv', 'bin', 'pip'),
      'install',
      '--disable-pip-version-check',
      '--progress-bar',
      'off',
      '-r',
      'requirements.txt',
    ],
  ])
}

export const fastapi = python('fastapi')
export const flask = python('flask')
export const robyn = python('robyn')

export const benthos = new Unit('benthos', 'go', 'install Go 1.25 or newer (https://go.dev)', (target) => [
  ['go', 'build', '-trimpath', '-o', join(target, 'benthos'), '.'],
])
