/**
 * Checks `config.ts` before anything is built from it. Types say what may be written; this says what is possible, in one
 * line that names the value. Runs at every synth, since Node strips the types.
 */

import { checkAccounts, checkPlace } from './check-accounts.ts'
import { checkExistingKafka, checkNetwork } from './check-network.ts'
import { checkServiceSettings } from './check-service.ts'
import { parseCidr } from './cidr.ts'
import { ConfigError, checkWhole, fail, show } from './config-error.ts'
import type { Account, Environment, KafkaSize, Tasks } from './environment.ts'
import { isExisting } from './kafka.ts'
import { MAX_TASKS, maxStorageGiB, retentionSeconds } from './scale.ts'

/** Memory in GiB that Fargate offers beside so many CPU units: [least, most, step]. Source: Fargate task definition parameters. */
const FARGATE_MEMORY_GIB: Readonly<Record<number, readonly [number, number, number]>> = {
  256: [0.5, 2, 0.5],
  512: [1, 4, 1],
  1024: [2, 8, 1],
  2048: [4, 16, 1],
  4096: [8, 30, 1],
  8192: [16, 60, 4],
  16384: [32, 120, 8],
}
/** Source: CloudWatch Logs, PutRetentionPolicy. */
const RETENTION_DAYS = [
  1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653,
]
/** Of one broker: what Amazon MSK offers. */
const MAX_DISK_GIB = 16_384
const LEAST_RETENTION_HOURS = 24
/** Of who may send over plain HTTP: the network of one company, not of a provider. */
const SHORTEST_PREFIX = 16
/** Stacks, roles and buckets of ours begin like that. */
const TAKEN = ['account', 'boundary', 'bootstrap', 'github', 'state']
/** Names of buckets hold it, the account and the region, in 63 characters; without a hyphen none begins like another one. */
const NAME = /^[a-z][a-z0-9]{1,15}$/

export function checkConfig(account: Account, environments: readonly Environment[]): void {
  checkAccount(account)
  const seen = new Set<string>()
  for (const environment of environments) {
    const { name } = environment
    if (!NAME.test(name ?? '')) {
      fail('environments', `${show(name)} is not a name`, 'use 2 to 16 lower-case letters and digits, such as dev')
    }
    if (TAKEN.includes(name)) fail('environments', `${show(name)} is taken by the stacks`, 'use another name')
    if (seen.has(name)) fail('environments', `${name} is there twice`, 'keep one')
    seen.add(name)
    checkEnvironment(environment)
  }
  checkAccounts(account, environments)
  for (const name of account.github.deploys ?? []) {
    if (seen.has(name)) continue
    fail('account.github.deploys', `unknown environment "${name}"`, `infra/config.ts has ${[...seen].join(', ')}`)
  }
}

/** The environment of that name. */
export function findEnvironment(environments: readonly Environment[], name: string): Environment {
  const found = environments.find((environment) => environment.name === name)
  if (found) return found
  const known = environments.map((environment) => environment.name).join(', ')
  return fail('environments', `unknown environment "${name}"`, `infra/config.ts has ${known}`)
}

/** What a fresh clone says must not reach AWS. */
export function requireAccount({ id }: Account, environment?: Environment): void {
  const key = environment?.account ? `${environment.name}.account.id` : 'account.id'
  if (/^0+$/.test(environment?.account?.id ?? id)) {
    throw new ConfigError(`infra/config.ts: ${key} is still a placeholder: write yours`)
  }
}

/** A fresh clone has no domain of yours. These are reserved: https://www.rfc-editor.org/rfc/rfc2606#section-3 */
export function requireDomain({ name, domain }: Environment): void {
  if (domain === undefined || !/(^|\.)example\.(com|net|org)$/.test(domain.name)) return
  throw new ConfigError(`infra/config.ts: ${name}.domain is still a placeholder: write yours, and the id of its zone`)
}

/** For a deployment that builds no image: tasks with a digest of zeros never start. */
export function requireReleased({ name, image }: Environment): void {
  if (!('digest' in image && /^sha256:0+$/.test(image.digest))) return
  throw new ConfigError(
    `infra/config.ts: ${name}.image: no image is released yet: npm run deploy -- ${name} builds and pushes one; ` +
      'or push one, and write its digest (docs/runbooks/deploy.md)',
  )
}

function checkAccount(account: Account): void {
  const { id, region, alertsEmail, pagerDuty, github, awsProviderVersion } = account
  checkPlace('account', id, region)
  if (!/^[^\s@]+@[^\s@]+\.[^\s@]+$/.test(alertsEmail ?? '')) {
    fail('account.alertsEmail', `${show(alertsEmail)} is not an e-mail address`, 'alarms need someone who reads them')
  }
  if (pagerDuty !== undefined && !/^arn:aws:secretsmanager:[\w-]+:\d{12}:secret:.+$/.test(pagerDuty.secretArn ?? '')) {
    fail('account.pagerDuty.secretArn', `${show(pagerDuty.secretArn)} is not a secret`, 'write its whole ARN')
  }
  for (const key of ['owner', 'repository'] as const) {
    if (!/^[\w.-]+$/.test(github?.[key] ?? '')) {
      fail(`account.github.${key}`, `${show(github?.[key])} is not a name on GitHub`, 'write it as in the URL')
    }
  }
  if ((github.ownerId === undefined) !== (github.repositoryId === undefined)) {
    fail('account.github', 'ownerId and repositoryId belong together', 'give both or none')
  }
  if (github.oidcProvider !== undefined && !['make', 'existing'].includes(github.oidcProvider)) {
    fail(
      'account.github.oidcProvider',
      `${show(github.oidcProvider)} is neither make nor existing`,
      'leave it out to make it',
    )
  }
  if (!/^\d+\.\d+\.\d+$/.test(awsProviderVersion ?? '')) {
    fail('account.awsProviderVersion', `${show(awsProviderVersion)} is not a version`, 'write one such as 6.26.0')
  }
}

function checkEnvironment(environment: Environment): void {
  const { name, production, profile, zones, image, spotShare, tasks, kafka, domain } = environment
  const at = (key: string) => `${name}.${key}`
  checkNetwork(environment)
  if (production && (image === undefined || !('digest' in image))) {
    fail(at('image'), 'production runs an image by its digest only', "write { digest: 'sha256:…' }")
  }
  if (image === undefined) fail(at('image'), 'it is missing', "write { digest: 'sha256:…' } or { tag: '…' }")
  if ('digest' in image && !/^sha256:[0-9a-f]{64}$/.test(image.digest ?? '')) {
    fail(at('image.digest'), `${show(image.digest)} is not a digest`, 'write sha256: and 64 hexadecimal digits')
  }
  if ('tag' in image && !/^\w[\w.-]{0,127}$/.test(image.tag ?? '')) {
    fail(at('image.tag'), `${show(image.tag)} is not a tag`, 'write one such as 0.1.0')
  }
  if (!(spotShare >= 0 && spotShare <= 1)) fail(at('spotShare'), `${show(spotShare)} is no share`, 'write 0 to 1')
  if (production && spotShare > 0) fail(at('spotShare'), 'AWS may take a Spot task away at any time', 'use 0 here')

  const wanted: readonly (keyof Environment['tasks'])[] = profile === 'single' ? ['all'] : ['ingest', 'deliver']
  if (profile !== 'single' && profile !== 'scaled') {
    fail(at('profile'), `${show(profile)} is neither single nor scaled`, 'begin with single')
  }
  for (const role of wanted) checkTasks(at(`tasks.${role}`), tasks?.[role], profile)
  checkFormerLog(environment)
  checkServiceSettings(environment)
  if (profile === 'scaled' && !(kafka && isExisting(kafka)) && zones.length !== 3)
    fail(at('zones'), 'one broker a zone, and there are three', 'use 3')
  if (profile === 'scaled' && kafka === undefined) fail(at('kafka'), 'the scaled profile needs brokers', 'size them')
  if (kafka !== undefined && isExisting(kafka)) checkExistingKafka(environment, kafka)
  else if (kafka !== undefined) checkKafka(at('kafka'), kafka)
  if (domain !== undefined && !/^([a-z0-9-]+\.)+[a-z]{2,}$/.test(domain.name ?? '')) {
    fail(at('domain.name'), `${show(domain.name)} is not a domain`, 'write one such as events.example.com')
  }
  if (domain !== undefined && !/^Z[A-Z0-9]+$/.test(domain.hostedZoneId ?? '')) {
    fail(at('domain.hostedZoneId'), `${show(domain.hostedZoneId)} is not a Route 53 zone`, 'it begins with Z')
  }
  if (production && domain === undefined) {
    fail(
      at('domain'),
      'production without one would take API keys over plain HTTP',
      "write { name: 'events.…', hostedZoneId: 'Z…' }, a name in a zone of Route 53",
    )
  }
  checkAllowed(environment)
  if (!RETENTION_DAYS.includes(environment.logRetentionDays)) {
    fail(at('logRetentionDays'), `${show(environment.logRetentionDays)} is not offered`, `use ${RETENTION_DAYS}`)
  }
  checkWhole(at('requestsPerFiveMinutesPerAddress'), environment.requestsPerFiveMinutesPerAddress, 10, 2_000_000_000)
  checkWhole(at('apiKeyVersion'), environment.apiKeyVersion, 1, 1_000_000)
  checkWhole(at('budgetUsdPerMonth'), environment.budgetUsdPerMonth, 1, 100_000_000)
}

function checkAllowed({ name, allowedCidrs = [], domain }: Environment): void {
  const key = `${name}.allowedCidrs`
  if (allowedCidrs === 'me') {
    if (domain !== undefined) fail(key, "'me' is for an environment without a domain", 'leave it out')
    return
  }
  if (!Array.isArray(allowedCidrs)) fail(key, `${show(allowedCidrs)} is no list`, "write 'me', or ['192.0.2.7/32']")
  for (const cidr of allowedCidrs) {
    if (parseCidr(cidr) === undefined) fail(key, `${show(cidr)} is not a CIDR`, 'such as 192.0.2.7/32')
    if ((parseCidr(cidr)?.bits ?? 0) < SHORTEST_PREFIX) {
      const fix = `give it a domain, or /${SHORTEST_PREFIX} and longer`
      fail(key, `${cidr} is a large part of the world, over plain HTTP`, fix)
    }
  }
}

function checkFormerLog({ name, profile, formerLog, tasks }: Environment): void {
  const key = `${name}.formerLog`
  if (formerLog === undefined) return
  if (!['drain', 'keep'].includes(formerLog)) {
    fail(key, `${show(formerLog)} is neither drain nor keep`, 'begin with drain')
  }
  if (profile !== 'scaled') fail(key, 'the single profile has its log, and no former one', 'leave it out')
  if (formerLog === 'drain') checkTasks(`${name}.tasks.all`, tasks.all, 'single')
}

function checkTasks(key: string, tasks: Tasks | undefined, profile: Environment['profile']): void {
  if (tasks === undefined) fail(key, `the ${profile} profile needs it`, 'say CPU, memory and how many')
  const { cpu, memoryMiB, minTasks, maxTasks } = tasks
  const memory = FARGATE_MEMORY_GIB[cpu]
  if (!memory) fail(`${key}.cpu`, `${show(cpu)} is not offered`, `use ${Object.keys(FARGATE_MEMORY_GIB)}`)
  const [least, most, step] = memory
  const gib = memoryMiB / 1024
  if (!(gib >= least && gib <= most && (gib - least) % step === 0)) {
    const offer = `Fargate offers ${least * 1024} to ${most * 1024} in steps of ${step * 1024} beside ${cpu}`
    fail(`${key}.memoryMiB`, `${show(memoryMiB)} is not offered`, offer)
  }
  checkWhole(`${key}.minTasks`, minTasks, 1, MAX_TASKS)
  checkWhole(`${key}.maxTasks`, maxTasks, minTasks, MAX_TASKS)
  if (profile === 'single' && maxTasks !== 1) {
    fail(`${key}.maxTasks`, 'one task at a time owns the log of the single profile', 'use 1, or the scaled profile')
  }
  for (const peak of tasks.peaks ?? []) {
    for (const moment of [peak.from, peak.to]) {
      if (!/^cron\(\S+( \S+){5}\)$/.test(moment)) {
        fail(`${key}.peaks`, `${show(moment)} is not an AWS cron expression`, 'such as cron(0 7 ? * MON-FRI *)')
      }
    }
    checkWhole(`${key}.peaks.minTasks`, peak.minTasks, minTasks, maxTasks)
  }
}

function checkKafka(key: string, size: KafkaSize): void {
  const { storageGiB, plannedMibps } = size
  if (!(storageGiB >= 1 && storageGiB <= MAX_DISK_GIB)) {
    fail(`${key}.storageGiB`, `${show(storageGiB)} is out of range`, `write 1 to ${MAX_DISK_GIB}`)
  }
  const most = maxStorageGiB(size)
  if (!(most >= storageGiB && most <= MAX_DISK_GIB)) {
    fail(`${key}.maxStorageGiB`, `${show(most)} is out of range`, `write ${storageGiB} to ${MAX_DISK_GIB}`)
  }
  if (!(plannedMibps > 0))
    fail(`${key}.plannedMibps`, `${show(plannedMibps)} is no rate`, 'write MiB a second, such as 2')
  const hours = retentionSeconds(size) / 3600
  if (hours < LEAST_RETENTION_HOURS) {
    const lasts = `at ${plannedMibps} MiB/s, ${most} GiB last for ${hours.toFixed(1)} hours`
    fail(`${key}.maxStorageGiB`, lasts, `a sink may be away for a day: allow for ${LEAST_RETENTION_HOURS} hours`)
  }
}
