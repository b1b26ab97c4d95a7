#!/usr/bin/env node
/**
 * `npm run synth | plan | deploy | destroy -- <bootstrap or environment>`: cdktf over the stacks of one environment, in the
 * order they depend on each other, with a summary and the next step at the end.
 *
 * Nothing here is needed to deploy: `npx cdktf deploy …` and `terraform -chdir=cdktf.out/stacks/<stack> …` work as well.
 * Exit codes: 0 done · 1 terraform or cdktf failed · 2 wrong command or configuration.
 */
import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs, stripVTControlCharacters } from 'node:util'
import { checkConfig, findEnvironment, requireAccount, requireReleased } from './check-config.ts'
import { ConfigError } from './config-error.ts'
import type { Environment } from './environment.ts'
import { requireLogToStay } from './former-log.ts'
import { bootstrapName, stackNames } from './names.ts'
import { accountsOf, placeOf } from './place.ts'
import { loadProject } from './project.ts'
import { requireTerraform, synthesiseStacks, TerraformError, TerraformStack } from './terraform.ts'

const { account, environments } = await loadProject()

const USAGE = `usage: npm run <synth|plan|deploy|destroy> -- <bootstrap|${environments.map(({ name }) => name).join('|')}> [options]

       npm run deploy -- check <target>    what would stop a deployment, and what to do; changes nothing

  --auto-approve         deploy, destroy: do not ask (for CI)
  --migrate-state        deploy: after bootstrapState was changed to 'bucket'
  --skip-provider-lock   when the AWS provider comes from a mirror`

/** The line that says what a stack came to. */
const RESULT = /(?:^|\s)(Plan: \d+ to .*|No changes\. .*|(?:Apply|Destroy) complete! Resources: .*)$/

class UsageError extends Error {}

interface Options {
  readonly 'auto-approve'?: boolean
  readonly 'migrate-state'?: boolean
  readonly 'skip-provider-lock'?: boolean
}

async function main(): Promise<number> {
  const { values, positionals } = parse()
  const [command, target, ...others] = positionals
  if (command === 'synth') return run(['synth'], [])
  if (command === 'deploy' && target === 'check') return check(others)
  if (target === undefined || others.length > 0) throw new UsageError(USAGE)
  checkConfig(account, environments)
  const stacks = stacksOf(target)
  if (command === 'deploy') {
    const environment = isBootstrap(target) ? undefined : findEnvironment(environments, target)
    requireAccount(account, environment)
    if (environment) requireReleased(environment)
  }
  requireTerraform()
  if (command === 'deploy' && !isBootstrap(target)) await checkDeployed(findEnvironment(environments, target))
  const passed = Object.entries(values).flatMap(([name, on]) => (on ? [`--${name}`] : []))
  switch (command) {
    case 'plan':
      return plan(stacks, passed)
    case 'deploy':
      return deploy(target, stacks, passed)
    case 'destroy':
      return run(['destroy', ...stacks.toReversed(), ...passed], stacks)
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
        'migrate-state': { type: 'boolean' },
        'skip-provider-lock': { type: 'boolean' },
      },
    })
  } catch (error) {
    throw new UsageError(`${(error as Error).message}\n\n${USAGE}`)
  }
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
  const place = environment ? placeOf(account, environment) : BOOTSTRAPS.get(target)
  const { preflight } = await import('./preflight.ts') // with the SDK of AWS, which nothing else here needs
  let toDo = 0
  for await (const { text, fix } of preflight(place ?? placeOf(account), environment)) {
    process.stdout.write(fix === undefined ? `✓ ${text}\n` : `✗ ${text}\n  → ${fix}\n`)
    if (fix !== undefined) toDo += 1
  }
  const verdict = toDo === 0 ? 'Nothing stops' : `${toDo} to do before`
  process.stdout.write(`${verdict} a deployment of ${target}.\n`)
  return toDo === 0 ? 0 : 1
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

async function deploy(target: string, stacks: readonly string[], passed: readonly string[]): Promise<number> {
  const outputsFile = join(mkdtempSync(join(tmpdir(), 'millrace-deploy-')), 'outputs.json')
  const code = await run(['deploy', ...stacks, ...passed, '--outputs-file', outputsFile], stacks)
  if (code !== 0) return code
  const outputs: Record<string, Record<string, string>> = JSON.parse(readFileSync(outputsFile, 'utf8'))
  if (isBootstrap(target)) {
    const repository = outputs[target]?.['output-image_repository']
    const push = repository ? `push an image to ${repository}, write its digest into infra/config.ts, ` : ''
    console.error(`\nNext: ${push}npm run deploy -- <environment>`)
    return 0
  }
  const made = outputs[`${target}-service`] ?? {}
  const [url, reachability, secret] = ['url', 'reachability', 'api_key_secret'].map((name) => made[`output-${name}`])
  console.error(`
${url}   ${reachability}
The API key:   aws secretsmanager get-secret-value --secret-id ${secret} --query SecretString --output text
Next:          curl -i ${url}/v1/events -H 'authorization: Bearer <key>' -H 'content-type: application/json' -d '{"id":1,"data":"Event 1"}'
`)
  return 0
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
  if (![ConfigError, UsageError, TerraformError].some((kind) => error instanceof kind)) throw error
  console.error((error as Error).message)
  process.exitCode = 2
}
