#!/usr/bin/env node
/**
 * `npm run pipeline -- …`: what the workflows run, and anybody with the same credentials can run as well.
 *
 *     plan ENVIRONMENT…            plans, saves each plan, prints what would change and `plan ENVIRONMENT ID`
 *     apply ENVIRONMENT --plan ID  applies exactly that plan, or nothing if anything moved since
 *     drift ENVIRONMENT…           says what is no longer as the code says
 *     comment FILE…                puts the files into the one comment of pull request $PULL_REQUEST
 *     issue FILE…                  opens or updates the one issue about drift; empty files close it
 *     account                      what a workflow must know of infra/config.ts, as outputs
 *
 * --summary FILE takes the Markdown; without it, it goes to standard output. Where GITHUB_OUTPUT is set, results are step outputs.
 * Exit codes: 0 done · 1 failed · 2 wrong command or configuration · 3 the plan is stale, nothing was applied.
 */
import { appendFileSync, readFileSync, writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { checkConfig, findEnvironment, requireAccount, requireDomain, requireReleased } from '../check-config.ts'
import { ConfigError } from '../config-error.ts'
import { githubRoleArn, imageRepository } from '../names.ts'
import { placeOf } from '../place.ts'
import { loadProject } from '../project.ts'
import { requireTerraform, synthesiseStacks, TerraformError } from '../terraform.ts'
import { applyPlan, StalePlanError } from './apply.ts'
import { findDrift } from './drift.ts'
import { Github, GithubError } from './github.ts'
import { planEnvironment } from './plan.ts'
import { PlanStore } from './saved-plan.ts'

const { account, environments } = await loadProject()

const USAGE = `usage: npm run pipeline -- <command>

  plan ENVIRONMENT… [--summary FILE]   plan and save; prints the id of each plan
  apply ENVIRONMENT --plan ID          apply exactly that plan, or nothing
  drift ENVIRONMENT… [--summary FILE]  compare what is deployed with the code
  comment FILE…                        into the comment of pull request $PULL_REQUEST
  issue FILE…                          into the issue about drift; empty: closed
  account                              region, roles and environments of infra/config.ts`

const PLAN_MARK = '<!-- millrace: plan -->'
const DRIFT_MARK = '<!-- millrace: drift -->'

class UsageError extends Error {}

async function main(): Promise<void> {
  const { values, positionals } = parse()
  const [command, ...names] = positionals
  const [first] = names
  switch (command) {
    case 'plan':
      return plan(names, values.summary)
    case 'apply':
      if (first === undefined || values.plan === undefined) throw new UsageError(USAGE)
      return apply(first, values.plan)
    case 'drift':
      return drift(names, values.summary)
    case 'comment':
      return new Github().comment(pullRequest(), PLAN_MARK, text(names))
    case 'issue':
      return new Github().issue(DRIFT_MARK, 'What is deployed is not what the code says', text(names) || undefined)
    case 'account':
      return describeAccount()
    default:
      throw new UsageError(USAGE)
  }
}

function parse() {
  try {
    return parseArgs({ allowPositionals: true, options: { plan: { type: 'string' }, summary: { type: 'string' } } })
  } catch (error) {
    throw new UsageError(`${(error as Error).message}\n\n${USAGE}`)
  }
}

async function plan(names: readonly string[], summaryFile: string | undefined): Promise<void> {
  const { terraformVersion, chosen } = prepare(names)
  const summaries: string[] = []
  for (const environment of chosen) {
    const { plan, summary } = await planEnvironment(environment, terraformVersion)
    const id = await new PlanStore(placeOf(account, environment)).save(plan)
    summaries.push(`${summary}\nSaved as \`${id}\`.\n`)
    output('plan', id)
    output('changes', String(plan.stacks.some(({ saved }) => saved)))
    console.error(`plan ${environment.name} ${id}`)
  }
  write(summaries.join('\n'), summaryFile)
}

async function apply(name: string, id: string): Promise<void> {
  checkConfig(account, environments)
  const environment = findEnvironment(environments, name)
  requireAccount(account, environment)
  requireDomain(environment)
  requireReleased(environment)
  // A person who applies by hand has their own credentials. A workflow has them only after an approval: check that.
  if (process.env.GITHUB_ACTIONS === 'true') await new Github().requireApproval(name)
  const { terraformVersion } = prepare([name])
  try {
    const left = await applyPlan(environment, id, new PlanStore(placeOf(account, environment)), terraformVersion)
    output('again', String(left.length > 0))
    console.error(
      left.length > 0 ? `Left: ${left.join(', ')}. Plan again: what they read exists now.` : `${name} is complete.`,
    )
  } catch (error) {
    if (error instanceof StalePlanError) output('again', 'true')
    throw error
  }
}

async function drift(names: readonly string[], summaryFile: string | undefined): Promise<void> {
  const { chosen, terraformVersion } = prepare(names)
  const found: string[] = []
  for (const environment of chosen) found.push(await findDrift(environment, terraformVersion))
  const summary = found.filter((text) => text !== '').join('\n')
  output('drift', String(summary !== ''))
  write(summary, summaryFile)
}

function prepare(names: readonly string[]) {
  if (names.length === 0) throw new UsageError(USAGE)
  checkConfig(account, environments)
  const chosen = names.map((name) => findEnvironment(environments, name))
  for (const { name, allowedCidrs } of chosen) {
    if (allowedCidrs !== 'me') continue
    throw new ConfigError(
      `infra/config.ts: ${name}.allowedCidrs: 'me' is who runs npm run deploy: write the ranges here`,
    )
  }
  const terraformVersion = requireTerraform()
  synthesiseStacks()
  return { chosen, terraformVersion }
}

function describeAccount(): void {
  checkConfig(account, environments)
  const configured = !/^0+$/.test(account.id)
  if (!configured) console.error('infra/config.ts: account.id is still a placeholder: nothing is planned or deployed')
  output('region', account.region)
  output('push-role', githubRoleArn(account, 'push'))
  output('image-repository', imageRepository(placeOf(account)))
  const deploys = configured ? account.github.deploys : []
  output('environments', JSON.stringify(deploys.map(describeEnvironment)))
  output('names', deploys.join(' '))
}

/** A job of the matrix of a workflow. */
function describeEnvironment(name: string) {
  const place = placeOf(account, findEnvironment(environments, name))
  return {
    environment: name,
    region: place.region,
    'plan-role': githubRoleArn(place, 'plan'),
    'apply-role': githubRoleArn(place, `apply-${name}`),
  }
}

function pullRequest(): number {
  const number = Number(process.env.PULL_REQUEST)
  if (!Number.isInteger(number) || number < 1) throw new UsageError('PULL_REQUEST must be the number of a pull request')
  return number
}

function text(files: readonly string[]): string {
  if (files.length === 0) throw new UsageError(USAGE)
  const texts = files.map((file) => readFileSync(file, 'utf8').trim())
  return texts.filter((each) => each !== '').join('\n\n')
}

function write(markdown: string, file: string | undefined): void {
  if (file !== undefined) writeFileSync(file, markdown)
  else process.stdout.write(markdown)
}

function output(name: string, value: string): void {
  const file = process.env.GITHUB_OUTPUT
  if (file) appendFileSync(file, `${name}=${value}\n`)
  else console.error(`${name}=${value}`)
}

try {
  await main()
} catch (error) {
  const known = [ConfigError, UsageError, TerraformError, StalePlanError, GithubError].some(
    (kind) => error instanceof kind,
  )
  if (!known) throw error
  console.error((error as Error).message)
  process.exitCode =
    error instanceof StalePlanError ? 3 : error instanceof UsageError || error instanceof ConfigError ? 2 : 1
}
