/** Checks what an environment says of the service itself: `variables`, `secrets`, `hookSecrets` and `sinks`. */
import { VARIABLES } from '../app/config.ts'
import { MillraceError } from '../app/errors.ts'
import { convert, isSecret } from '../app/variable.ts'
import { parseCidr } from './cidr.ts'
import { ConfigError, fail, show } from './config-error.ts'
import type { Destination, Environment, Secret } from './environment.ts'
import { STACK_VARIABLES } from './settable.ts'
import { sinkPort, sinksOf } from './sinks.ts'

const SINKS = ['s3', 'postgres', 'http'] as const
/** Those of sinks that have a URL. */
const URLS = { postgres: 'POSTGRES_SINK_URL', http: 'HTTP_SINK_URL' } as const
const DEFAULT_PORTS: Readonly<Record<string, number>> = { 'http:': 80, 'https:': 443 }

/** @throws ConfigError */
export function checkServiceSettings(environment: Environment): void {
  const { name, variables = {}, secrets = {} } = environment
  for (const [variable, value] of Object.entries(variables)) {
    checkVariable(`${name}.variables.${variable}`, variable, value)
    if (variable in secrets) fail(`${name}.secrets.${variable}`, 'it is in variables, too', 'keep one')
  }
  for (const [variable, secret] of Object.entries(secrets)) {
    const key = `${name}.secrets.${variable}`
    checkName(key, variable)
    checkSecret(key, secret)
  }
  for (const [variable, secret] of Object.entries(environment.hookSecrets ?? {})) {
    const key = `${name}.hookSecrets.${variable}`
    checkHookVariable(key, variable)
    checkSecret(key, secret)
  }
  checkSender(environment)
  checkSinks(environment)
}

function checkName(key: string, variable: string): void {
  if (!Object.hasOwn(VARIABLES, variable)) {
    fail(
      key,
      'the service has no such variable',
      'see the table of the README, or npm run millrace -- config --describe',
    )
  }
  if ((STACK_VARIABLES as readonly string[]).includes(variable)) {
    fail(key, 'the stacks decide it', 'leave it out; see sinks, kafka and tasks')
  }
}

/** As `secretVariables` of a hook has them (app/hooks/check.ts); a name of ours would be taken for a setting. */
function checkHookVariable(key: string, variable: string): void {
  if (!/^[A-Za-z_]\w*$/.test(variable)) fail(key, 'it is not the name of a variable', 'use letters, digits and _')
  if (Object.hasOwn(VARIABLES, variable) || variable.startsWith('MILLRACE_')) {
    fail(key, 'the service has this name for itself', 'choose another one, also in secretVariables')
  }
}

function checkVariable(key: string, variable: string, value: unknown): void {
  checkName(key, variable)
  if (typeof value !== 'string') fail(key, `${show(value)} is not a text`, "write it in quotes, such as '100'")
  if (isSecret(variable) && !isUrlWithoutPassword(value)) {
    fail(key, 'plans and states would show it', `write secrets: { ${variable}: { secret: '…' } }`)
  }
  const schema = VARIABLES[variable]
  try {
    if (schema) convert(variable, schema, value)
  } catch (error) {
    if (!(error instanceof MillraceError)) throw error
    throw new ConfigError(`infra/config.ts: ${key.slice(0, -variable.length)}${error.message}`)
  }
}

/** Every request comes from the load balancer: its address would be on every event. */
function checkSender({ name, cidr, variables = {} }: Environment): void {
  const { STAMP_SENDER = '', TRUSTED_PROXIES } = variables
  if (!STAMP_SENDER.includes('address') || TRUSTED_PROXIES !== undefined) return
  const key = `${name}.variables.STAMP_SENDER`
  fail(key, 'each event would have the address of the load balancer', `add TRUSTED_PROXIES: '${cidr}'`)
}

function isUrlWithoutPassword(value: string): boolean {
  const url = URL.parse(value)
  return url !== null && url.host !== '' && url.password === '' && !url.searchParams.has('password')
}

function checkSecret(key: string, secret: Secret | undefined): void {
  const { secret: name, parameter, jsonKey, kmsKeyArn } = (secret ?? {}) as Readonly<Record<string, unknown>>
  if ((name === undefined) === (parameter === undefined)) {
    fail(key, `${show(secret)} names no secret`, "write { secret: '…' } or { parameter: '…' }")
  }
  // Source: Secrets Manager, CreateSecret; Systems Manager, PutParameter.
  if (name !== undefined && !/^[\w/+=.@-]{1,512}$/.test(String(name))) {
    fail(key, `${show(name)} is not the name of a secret`, 'write its name, not its ARN')
  }
  if (parameter !== undefined && !/^(\/[\w.-]+)+$|^[\w.-]+$/.test(String(parameter))) {
    fail(key, `${show(parameter)} is not the name of a parameter`, 'write its name, such as /events/hook')
  }
  if (jsonKey !== undefined && (parameter !== undefined || !/^[\w-]+$/.test(String(jsonKey)))) {
    fail(
      `${key}.jsonKey`,
      `${show(jsonKey)} is not a key of a JSON object`,
      'only a secret has one: letters, digits, _ and -',
    )
  }
  checkKeyArn(`${key}.kmsKeyArn`, kmsKeyArn)
}

function checkKeyArn(key: string, arn: unknown): void {
  if (arn === undefined || /^arn:aws[\w-]*:kms:[\w-]+:\d{12}:key\/[\w-]+$/.test(String(arn))) return
  fail(key, `${show(arn)} is not a KMS key`, 'write its whole ARN, arn:aws:kms:…:key/…')
}

function checkSinks(environment: Environment): void {
  const { name, variables = {}, secrets = {} } = environment
  const sinks = sinksOf(environment)
  const unknown = Object.keys(sinks).find((sink) => ![...SINKS, 'routes'].includes(sink))
  if (unknown !== undefined) fail(`${name}.sinks.${unknown}`, 'there is no such sink here', `use ${SINKS.join(', ')}`)
  if (!sinks.routes && SINKS.every((sink) => sinks[sink] === undefined)) {
    fail(`${name}.sinks`, 'no event would go anywhere', "write { s3: 'archive' }, or leave sinks out")
  }
  checkBucket(`${name}.sinks.s3`, sinks.s3)
  if (sinks.postgres) checkDestination(`${name}.sinks.postgres`, sinks.postgres, sinks.postgres.port ?? 5432)
  if (sinks.http && sinks.http !== 'https') checkDestination(`${name}.sinks.http`, sinks.http, sinks.http.port)
  for (const sink of ['postgres', 'http'] as const) {
    const variable = URLS[sink]
    const url = variables[variable]
    const isGiven = url !== undefined || secrets[variable] !== undefined
    if (sinks[sink] && !sinks.routes && !isGiven) {
      fail(`${name}.sinks.${sink}`, `${variable} is missing`, 'write it into variables or secrets')
    }
    if (isGiven && !sinks[sink]) {
      fail(`${name}.sinks`, `${variable} is set, and no event goes there`, `add ${sink} to sinks, or take it out`)
    }
    if (url !== undefined) checkPort(environment, sink, url)
  }
}

/** The rule of the security group is for one port: a connection to another one would hang. */
function checkPort(environment: Environment, sink: 'postgres' | 'http', text: string): void {
  const { port, protocol } = URL.parse(text) ?? {}
  const wanted = Number(port) || (DEFAULT_PORTS[protocol ?? ''] ?? 5432)
  const open = sinkPort(environment, sink)
  if (wanted === open) return
  const key = `${environment.name}.sinks.${sink}`
  fail(key, `the URL goes to port ${wanted}, and ${open} is open`, `write { cidr: '…', port: ${wanted} }`)
}

function checkBucket(key: string, s3: NonNullable<Environment['sinks']>['s3']): void {
  if (s3 === undefined || s3 === 'archive') return
  // Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
  if (!/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/.test(s3.bucket ?? '')) {
    fail(key, `${show(s3.bucket ?? s3)} is not a bucket`, "write 'archive', or { bucket: 'name' }")
  }
  if (s3.region !== undefined && !/^[a-z]{2}(-[a-z]+)+-\d$/.test(s3.region)) {
    fail(`${key}.region`, `${show(s3.region)} is not an AWS region`, 'write one such as eu-central-1')
  }
  checkKeyArn(`${key}.kmsKeyArn`, s3.kmsKeyArn)
}

/** @throws ConfigError */
export function checkDestination(key: string, to: Destination, port: number): void {
  const { securityGroupId, cidr } = to as { readonly securityGroupId?: string; readonly cidr?: string }
  if ((securityGroupId === undefined) === (cidr === undefined)) {
    fail(key, `${show(to)} is not one place`, "write { securityGroupId: 'sg-…' } or { cidr: '10.0.0.0/16' }")
  }
  if (securityGroupId !== undefined && !/^sg-[0-9a-f]{8,17}$/.test(securityGroupId)) {
    fail(`${key}.securityGroupId`, `${show(securityGroupId)} is not a security group`, 'write its id, sg-…')
  }
  if (cidr !== undefined && parseCidr(cidr) === undefined) {
    fail(`${key}.cidr`, `${show(cidr)} is not a CIDR`, 'such as 10.0.0.0/16')
  }
  if (!(Number.isInteger(port) && port >= 1 && port <= 65_535)) {
    fail(`${key}.port`, `${show(port)} is not a port`, 'write 1 to 65535')
  }
}
