/** Terraform itself, over what was synthesised: one stack is one directory, usable without cdktf. */
import { spawn, spawnSync } from 'node:child_process'
import { readFileSync, rmSync } from 'node:fs'
import { join, resolve } from 'node:path'

/** Its message is for the person at the keyboard, and says what to do. */
export class TerraformError extends Error {}

/** Where the state of a stack is: a number that grows with every change, of one line of states. */
export interface StatePosition {
  readonly lineage: string
  readonly serial: number
}

const OUT = resolve('cdktf.out')
/** As cdktf names it: `tofu` runs OpenTofu. */
export const BINARY = process.env.TERRAFORM_BINARY_NAME || 'terraform'
/**
 * Terraform: `use_lockfile` and ephemeral values came with 1.10, write-only arguments with 1.11. OpenTofu has all three
 * since 1.11.
 */
const LEAST_VERSION = [1, 11] as const

/** The version on the PATH; throws if Terraform is missing or too old. */
export function requireTerraform(): string {
  const { status, stdout } = spawnSync(BINARY, ['version', '-json'], { encoding: 'utf8' })
  if (status !== 0) {
    throw new TerraformError(`${BINARY} is not on the PATH: install ${LEAST_VERSION.join('.')} or later`)
  }
  const version = String(JSON.parse(stdout.slice(stdout.indexOf('{'))).terraform_version)
  const [major = 0, minor = 0] = version.split('.').map(Number)
  if (major < LEAST_VERSION[0] || (major === LEAST_VERSION[0] && minor < LEAST_VERSION[1])) {
    throw new TerraformError(`${BINARY} is ${version}: ${LEAST_VERSION.join('.')} or later is needed`)
  }
  return version
}

/** Writes `cdktf.out` again, as cdktf would. */
export function synthesiseStacks(): void {
  rmSync(join(OUT, 'manifest.json'), { force: true })
  const { status, stderr } = spawnSync(process.execPath, ['infra/main.ts'], { encoding: 'utf8' })
  if (status !== 0) throw new TerraformError(stderr.trim())
}

/** The stacks that `stack` reads outputs of. */
export function dependenciesOf(stack: string): readonly string[] {
  const { stacks } = JSON.parse(readFileSync(join(OUT, 'manifest.json'), 'utf8'))
  return stacks[stack].dependencies
}

/** How long to wait for the lock: another plan may be running, which is no reason to fail. */
export const LOCK_TIMEOUT = '-lock-timeout=60s'

export function terraformEnvironment(): NodeJS.ProcessEnv {
  return { ...process.env, CHECKPOINT_DISABLE: '1', TF_IN_AUTOMATION: '1' }
}

export class TerraformStack {
  readonly name: string
  readonly directory: string

  constructor(name: string) {
    this.name = name
    this.directory = join(OUT, 'stacks', name)
  }

  /** What Terraform reads: the same text is the same infrastructure. */
  get text(): string {
    return readFileSync(join(this.directory, 'cdk.tf.json'), 'utf8')
  }

  /** @param more options of `terraform init`. */
  async init(...more: readonly string[]): Promise<void> {
    await this.#succeed('init', '-input=false', '-no-color', ...more)
  }

  /** Writes `planFile`, relative to the directory; true if it would change something. */
  async plan(planFile: string): Promise<boolean> {
    const args = ['-input=false', '-no-color', LOCK_TIMEOUT, '-detailed-exitcode', `-out=${planFile}`]
    const { code, stderr } = await this.#run('plan', args)
    if (code !== 0 && code !== 2) throw this.#failed('plan', stderr)
    return code === 2
  }

  /** A plan file as JSON: https://developer.hashicorp.com/terraform/internals/json-format */
  async show(planFile: string): Promise<unknown> {
    return JSON.parse(await this.#succeed('show', '-json', planFile))
  }

  /** Applies exactly that plan; Terraform refuses one whose state has moved. Shows what it does. */
  async apply(planFile: string): Promise<void> {
    const { code, stderr } = await this.#run('apply', ['-input=false', '-no-color', LOCK_TIMEOUT, planFile], true)
    if (code !== 0) throw this.#failed('apply', stderr)
  }

  /** What would change, as text; changes nothing. */
  async planText(): Promise<string> {
    return this.#succeed('plan', '-input=false', '-no-color', LOCK_TIMEOUT)
  }

  /** Values of its outputs, by name. */
  async outputs(): Promise<Readonly<Record<string, string>>> {
    const outputs: Record<string, { value: string }> = JSON.parse(await this.#succeed('output', '-json'))
    return Object.fromEntries(Object.entries(outputs).map(([name, { value }]) => [name, value]))
  }

  /** Undefined: nothing was ever deployed. */
  async statePosition(): Promise<StatePosition | undefined> {
    const text = await this.#succeed('state', 'pull')
    if (text.trim() === '') return undefined
    const { lineage, serial } = JSON.parse(text)
    return { lineage, serial }
  }

  /** Addresses of what is deployed; none where there is no state. */
  async resources(): Promise<readonly string[]> {
    const { code, stdout } = await this.#run('state', ['list'])
    return code === 0 ? stdout.split('\n').filter((line) => line !== '') : []
  }

  async #succeed(command: string, ...args: string[]): Promise<string> {
    const { code, stdout, stderr } = await this.#run(command, args)
    if (code !== 0) throw this.#failed(command, stderr)
    return stdout
  }

  #failed(command: string, stderr: string): TerraformError {
    return new TerraformError(`${this.name}: ${BINARY} ${command} failed:\n${stderr.trim()}`)
  }

  #run(
    command: string,
    args: readonly string[],
    shown = false,
  ): Promise<{ code: number; stdout: string; stderr: string }> {
    const child = spawn(BINARY, [command, ...args], {
      cwd: this.directory,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: terraformEnvironment(),
    })
    let stdout = ''
    let stderr = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text
      if (shown) process.stderr.write(text)
    })
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text
    })
    return new Promise((done, fail) => {
      child.on('error', fail)
      child.on('close', (code) => done({ code: code ?? 1, stdout, stderr }))
    })
  }
}
