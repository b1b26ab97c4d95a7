#!/usr/bin/env node
/**
 * `npm run synth | plan | deploy | destroy -- <bootstrap or environment>`: cdktf over the stacks of one environment, in the
 * order they depend on each other, with a summary and the next step at the end. The first deployment does whatever is missing
 * before (./deployment/first.ts).
 *
 * Nothing here is needed to deploy: `npx cdktf deploy …` and `terraform -chdir=cdktf.out/stacks/<stack> …` work as well.
 * Exit codes: 0 done · 1 terraform or cdktf failed · 2 wrong command or configuration · 130, 143 ended by a signal.
 */
import { spawn } from 'node:child_process'
import { parseArgs, stripVTControlCharacters } from 'node:util'
import { checkConfig, findEnvironment, requireAccount, requireDomain } from './check-config.ts'
import { ConfigError } from './config-error.ts'
import { InterruptedError } from './deployment/interruptible.ts'
import { nextSteps } from './deployment/next.ts'
import type { Environment } from './environment.ts'
import { requireLogToStay } from './former-log.ts'
import { bootstrapName, CALLER_VARIABLE, stackNames } from './names.ts'
import { accountsOf, type Place, placeOf } from './place.ts'
import { loadProject } from './project.ts'
import { requireTerraform, synthesiseStacks, TerraformError, TerraformStack } from './terraform.ts'

const { account, environments } = await loadProject()

const USAGE = `usage: npm run <synth|plan|deploy|destroy> -- <bootstrap|${environments.map(({ name }) => name).join('|')}> [options]

       npm run deploy -- check <target>    what would stop a deployment, and what to do; changes nothing
       npm run synth -- --module <folder> [environment]   a module for plain Terraform

  --auto-approve         deploy, destroy: do not ask (for CI)
  --skip-provider-lock   when the AWS provider comes from a mirror`

/** The line that says what a stack came to. */
const RESULT = /(?:^|\s)(Plan: \d+ to .*|No changes\. .*|(?:Apply|Destroy) complete! Resources: .*)$/

class UsageError extends Error {}

interface Options {
  readonly 'auto-approve'?: boolean
  readonly module?: string
  readonly 'skip-provider-lock'?: boolean
}

async function main(): Promise<number> {
  const { values, positionals } = parse()
  const [command, target, ...others] = positionals
  if (command === 'synth') return values.module === undefined ? run(['synth'], []) : synthModule(values.module, target)
  if (command === 'deploy' && target === 'check') return check(others)
  if (target === undefined || others.length > 0) throw new UsageError(USAGE)
  checkConfig(account, environments)
  const stacks = stacksOf(target)
  const environment = isBootstrap(target) ? undefined : findEnvironment(environments, target)
  if (command === 'deploy') {
    requireAccount(account, environment)
    if (environment) requireDomain(environment)
  }
  requireTerraform()
  if (environment?.allowedCidrs === 'me') await nameCaller()
  const passed = Object.entries(values).flatMap(([name, on]) => (on === true ? [`--${name}`] : []))
  switch (command) {
    case 'plan':
      return environment ? plan(stacks, passed) : planBootstrap(target, passed)
    case 'deploy':
      return deploy(target, stacks, passed, values['auto-approve'] === true)
    case 'destroy':
      if (environment) return run(['destroy', ...stacks.toReversed(), ...passed], stacks)
      return destroyBootstrap(target, values['auto-approve'] === true)
    default:
      throw new UsageError(USAGE)
  }
}

function parse(): { values: Options; positionals: string[] } {
  try {
    return parseArgs({
      allowPositionals: true,
      options: {
        'auto-approve': { type: 'boolean' },
        module: { type: 'string' },
        'skip-provider-lock': { type: 'boolean' },
      },
    })
  } catch (error) {
    throw new UsageError(`${(error as Error).message}\n\n${USAGE}`)
  }
}

/** Terraform reads it, in every program that is started from here. */
async function nameCaller(): Promise<void> {
  const { callerCidr } = await import('./deployment/caller.ts')
  const cidr = await callerCidr()
  console.error(`allowedCidrs: 'me' is ${cidr}`)
  process.env[`TF_VAR_${CALLER_VARIABLE}`] = cidr
}

/** What only the state says. A single environment has nothing that could go. */
async function checkDeployed(environment: Environment): Promise<void> {
  if (environment.profile === 'single') return
  synthesiseStacks()
  await new TerraformStack(`${environment.name}-service`).init()
  await requireLogToStay(environment)
}

/** A stack for each account, by its name. */
const BOOTSTRAPS = new Map(accountsOf(account, environments).map(({ place }) => [bootstrapName(place), place]))

function isBootstrap(target: string): boolean {
  return BOOTSTRAPS.has(target)
}

function placeOfTarget(target: string): Place {
  return BOOTSTRAPS.get(target) ?? placeOf(account, findEnvironment(environments, target))
}

/** In the order they depend on each other. */
function stacksOf(target: string): readonly string[] {
  if (isBootstrap(target)) return [target]
  return stackNames(findEnvironment(environments, target))
}

/** @returns 1 when something has to be done first. */
async function check(targets: readonly string[]): Promise<number> {
  const [target] = targets
  if (target === undefined || targets.length > 1) throw new UsageError(USAGE)
  checkConfig(account, environments)
  const environment = isBootstrap(target) ? undefined : findEnvironment(environments, target)
  requireAccount(account, environment)
  const { preflight } = await import('./preflight.ts') // with the SDK of AWS, which nothing else here needs
  let toDo = 0
  for await (const { text, fix } of preflight(placeOfTarget(target), environment)) {
    process.stdout.write(fix === undefined ? `✓ ${text}\n` : `✗ ${text}\n  → ${fix}\n`)
    if (fix !== undefined) toDo += 1
  }
  const verdict = toDo === 0 ? 'Nothing stops' : `${toDo} to do before`
  process.stdout.write(`${verdict} a deployment of ${target}.\n`)
  return toDo === 0 ? 0 : 1
}

/** @param name of an environment; default the first one. */
async function synthModule(folder: string, name = environments[0]?.name ?? ''): Promise<number> {
  checkConfig(account, environments)
  const environment = findEnvironment(environments, name)
  const { writeModule } = await import('./module.ts') // with cdktf, which the rest starts as a program
  writeModule(folder, account, environment)
  console.error(`${folder}: ${name} as a module of Terraform; its README.md says how to call it`)
  return 0
}

/** cdktf plans one stack at a time. */
async function plan(stacks: readonly string[], passed: readonly string[]): Promise<number> {
  for (const [at, stack] of stacks.entries()) {
    console.error(`── ${at + 1} of ${stacks.length}: ${stack}`)
    const code = await run(['diff', stack, ...passed.filter((option) => option === '--skip-provider-lock')], [stack])
    if (code !== 0) {
      if (at > 0) console.error(`${stack} reads what ${stacks[at - 1]} made: deploy that first, once.`)
      return code
    }
  }
  return 0
}

async function planBootstrap(target: string, passed: readonly string[]): Promise<number> {
  const { planFirstBootstrap } = await import('./deployment/bootstrap.ts')
  const text = await planFirstBootstrap(placeOfTarget(target))
  if (text === undefined) return plan([target], passed)
  process.stdout.write(text)
  return 0
}

async function destroyBootstrap(target: string, approved: boolean): Promise<number> {
  const bootstrap = await import('./deployment/bootstrap.ts')
  const result = await bootstrap.destroyBootstrap(placeOfTarget(target), approved)
  console.error(`\n${target.padEnd(20)} ${result}`)
  return 0
}

async function deploy(
  target: string,
  stacks: readonly string[],
  passed: readonly string[],
  approved: boolean,
): Promise<number> {
  const environment = isBootstrap(target) ? undefined : findEnvironment(environments, target)
  const place = placeOfTarget(target)
  await requireIdentity(place)
  const { deployFirst } = await import('./deployment/first.ts') // with the SDK of AWS, as all imports like this
  if (!(await deployFirst({ place, environment, approved }))) {
    if (environment) await checkDeployed(environment)
    const code = await run(['deploy', ...stacks, ...passed], stacks)
    if (code !== 0) return code
  }
  const outputs = await new TerraformStack(stacks.at(-1) ?? target).outputs()
  if (environment) console.error(nextSteps(place, outputs))
  else console.error('\nNext: npm run deploy -- <environment>')
  return 0
}

async function requireIdentity(place: Place): Promise<void> {
  const { identity } = await import('./preflight.ts')
  for await (const { text, fix } of identity(place)) {
    if (fix !== undefined) throw new TerraformError(`${text}: ${fix}`)
  }
}

/** Runs cdktf, shows what it shows, and closes with one line a stack. */
async function run(args: readonly string[], stacks: readonly string[]): Promise<number> {
  const approving = stacks.length === 0 || args[0] === 'diff' || args.includes('--auto-approve')
  const child = spawn('cdktf', args, {
    // Asking for approval needs the terminal itself.
    stdio: approving ? ['ignore', 'pipe', 'inherit'] : 'inherit',
    env: { ...process.env, CHECKPOINT_DISABLE: '1', ...(approving && { FORCE_COLOR: '0' }) },
  })
  const summary = new Map<string, string>()
  let rest = ''
  let current = ''
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    process.stdout.write(text)
    const lines = (rest + text).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines.map(stripVTControlCharacters)) {
      // cdktf puts the stack's name before the first of the lines that came together.
      current = stacks.find((stack) => line.startsWith(`${stack} `)) ?? current
      const [, result] = RESULT.exec(line.trimEnd()) ?? []
      if (result !== undefined) summary.set(current, result)
    }
  })
  const code = await new Promise<number>((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (status) => resolve(status ?? 1))
  })
  if (summary.size > 0) console.error('')
  for (const [stack, result] of summary) console.error(`${stack.padEnd(20)} ${result}`)
  return code === 0 ? 0 : 1
}

try {
  process.exitCode = await main()
} catch (error) {
  if (error instanceof InterruptedError) process.exitCode = error.signal === 'SIGINT' ? 130 : 143
  else if (error instanceof TerraformError) process.exitCode = 1
  else if (error instanceof ConfigError || error instanceof UsageError) process.exitCode = 2
  else throw error
  console.error((error as Error).message)
}
