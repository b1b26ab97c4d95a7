/**
 * `npm run synth -- --module <folder> [environment]`: the three stacks of an environment as one module of plain Terraform.
 *
 * They are synthesised with placeholders where a caller has values of their own, merged, and each placeholder becomes a variable.
 * What one stack reads of another through its state is named directly. Provider and state are the caller's.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { App } from 'cdktf'
import { addEnvironment } from './add-environment.ts'
import type { Account, Environment } from './environment.ts'
import { CALLER_VARIABLE, imageRepository, stackNames } from './names.ts'
import { placeOf } from './place.ts'

type Block = Record<string, unknown>
type Blocks = Record<string, Record<string, Block>>

interface Variable {
  readonly description: string
  readonly type?: string
  readonly default?: null
}

/** Variable → what stands for it in the stacks; each is a text that nothing else has. */
const PLACEHOLDERS = {
  name: 'placeholdername1',
  account_id: '9'.repeat(12),
  region: 'xx-placeholder-1',
  alerts_email: 'placeholder@alerts.invalid',
  domain_name: 'placeholder.domain.invalid',
  hosted_zone_id: 'ZPLACEHOLDER',
  vpc_id: 'vpc-placeholder',
} as const
const DIGEST = `sha256:${'9'.repeat(64)}`

const DESCRIPTIONS: Readonly<Record<string, string>> = {
  name: 'Part of every name: 2 to 16 lower-case letters and digits, such as dev',
  account_id: 'The AWS account of your provider: twelve digits',
  region: 'The region of your provider, such as eu-central-1',
  alerts_email: 'Who hears of alarms and of the budget',
  domain_name: 'Name of the service, in the hosted zone',
  hosted_zone_id: 'Zone of Route 53 that the name is in',
  vpc_id: 'The VPC that is there',
  private_subnet_ids: 'One a zone, for tasks and the log; with NAT or endpoints to AWS services',
  public_subnet_ids: 'One a zone, for the load balancer',
  image: 'Image with its digest, for linux/arm64, in a repository named millrace of this account or in a public one',
  allowed_cidr: 'IPv4 range that may send, over plain HTTP, such as 203.0.113.0/24',
  permissions_boundary: 'ARN of a policy that limits the roles; null: none',
}

/** Writes `millrace.tf.json` and `README.md` into the folder, which is made. The config was checked. */
export function writeModule(folder: string, account: Account, environment: Environment): void {
  mkdirSync(folder, { recursive: true })
  const module = moduleOf(account, environment)
  writeFileSync(join(folder, 'millrace.tf.json'), `${JSON.stringify(module, undefined, 2)}\n`)
  writeFileSync(join(folder, 'README.md'), readme(environment, module.variable))
}

/** As Terraform reads it: https://developer.hashicorp.com/terraform/language/syntax/json */
export function moduleOf(account: Account, environment: Environment): Block & { variable: Record<string, Variable> } {
  const stacks = synthesiseWithPlaceholders(account, environment)
  const values = new Map<string, string>()
  for (const { output = {} } of stacks) {
    for (const [name, { value }] of Object.entries(output))
      values.set(name, String(value).replace(/^\$\{(.*)\}$/, '$1'))
  }
  const merged = {
    resource: merge(stacks.map(({ resource = {} }) => resource)),
    data: merge(stacks.map(({ data: { terraform_remote_state: _, ...data } = {} }) => data)),
    ephemeral: merge(stacks.map(({ ephemeral = {} }) => ephemeral)),
    output: Object.fromEntries(
      stacks
        .flatMap(({ output = {} }) => Object.entries(output))
        .filter(([name]) => !name.startsWith('cross-stack-output-')),
    ),
  }
  const text = withVariables(
    JSON.stringify(merged).replaceAll(/data\.terraform_remote_state\.[\w-]+\.outputs\.([\w-]+)/g, (_, name) => {
      const value = values.get(name)
      if (value === undefined) throw new Error(`no stack has the output ${name}`)
      return value
    }),
  )
  const used = [...new Set([...text.matchAll(/\bvar\.(\w+)/g)].map(([, name = '']) => name))]
  const blocks: Block = JSON.parse(text)
  return {
    terraform: {
      required_version: '>= 1.11.0',
      required_providers: { aws: { source: 'hashicorp/aws', version: '>= 5.100.0' } },
    },
    variable: Object.fromEntries(used.sort().map((name) => [name, variableOf(name)])),
    ...Object.fromEntries(Object.entries(blocks).filter(([, block]) => Object.keys(block as Block).length > 0)),
  }
}

interface Stack {
  readonly resource?: Blocks
  readonly data?: Blocks
  readonly ephemeral?: Blocks
  readonly output?: Record<string, Block>
}

function synthesiseWithPlaceholders(account: Account, given: Environment): readonly Stack[] {
  const { account: _, region: __, network, domain, ...values } = given
  const environment: Environment = {
    ...values,
    name: PLACEHOLDERS.name,
    image: { digest: DIGEST },
    ...(domain
      ? { domain: { name: PLACEHOLDERS.domain_name, hostedZoneId: PLACEHOLDERS.hosted_zone_id } }
      : { allowedCidrs: 'me' }),
    ...(network && {
      network: {
        vpcId: PLACEHOLDERS.vpc_id,
        privateSubnetIds: network.privateSubnetIds.map((_, at) => `subnet-placeholder-private-${at}`),
        publicSubnetIds: network.publicSubnetIds.map((_, at) => `subnet-placeholder-public-${at}`),
      },
    }),
  }
  const { account_id: id, region, alerts_email: alertsEmail } = PLACEHOLDERS
  const outdir = mkdtempSync(join(tmpdir(), 'millrace-module-'))
  try {
    const app = new App({ outdir })
    addEnvironment(app, placeOf({ ...account, id, region, alertsEmail }), environment)
    app.synth()
    return stackNames(environment).map((name) =>
      JSON.parse(readFileSync(join(outdir, 'stacks', name, 'cdk.tf.json'), 'utf8')),
    )
  } finally {
    rmSync(outdir, { recursive: true })
  }
}

function merge(stacks: readonly Blocks[]): Blocks {
  const merged: Blocks = {}
  for (const [type, named] of stacks.flatMap((blocks) => Object.entries(blocks))) {
    for (const [name, block] of Object.entries(named)) {
      if (merged[type]?.[name] !== undefined) throw new Error(`two stacks have ${type}.${name}`)
      const { '//': _, ...rest } = block // where in our constructs it comes from
      merged[type] = { ...merged[type], [name]: rest }
    }
  }
  return merged
}

function withVariables(text: string): string {
  const { account_id: id, region } = PLACEHOLDERS
  const image = `${imageRepository({ images: { id, region } } as never)}@${DIGEST}`
  const boundary = `"permissions_boundary":"arn:aws:iam::${id}:policy/millrace-boundary"`
  let result = text
    .replaceAll(image, `\${var.image}`)
    .replaceAll(boundary, `"permissions_boundary":"\${var.permissions_boundary}"`)
    .replaceAll(`var.${CALLER_VARIABLE}`, 'var.allowed_cidr')
    .replaceAll(/subnet-placeholder-(private|public)-(\d)/g, `\${var.$1_subnet_ids[$2]}`)
  for (const [name, placeholder] of Object.entries(PLACEHOLDERS))
    result = result.replaceAll(placeholder, `\${var.${name}}`)
  return result
}

function variableOf(name: string): Variable & Block {
  const description = DESCRIPTIONS[name] ?? ''
  if (name === 'permissions_boundary') return { description, type: 'string', default: null }
  return { description, type: name.endsWith('_ids') ? 'list(string)' : 'string', nullable: false }
}

function readme({ name, profile }: Environment, variables: Record<string, Variable>): string {
  const rows = Object.entries(variables).map(([variable, { description }]) => `| \`${variable}\` | ${description} |`)
  const required = Object.keys(variables).filter((variable) => variable !== 'permissions_boundary')
  const width = Math.max(...required.map(({ length }) => length))
  return `# Millrace as a Terraform module

Written by \`npm run synth -- --module\` from the environment \`${name}\` (${profile}) of \`infra/config.ts\`: its sizes, variables, secrets
and sinks are in here. To change them, change that file and write the module again. Terraform 1.11 or OpenTofu 1.11, AWS provider 5.100.

\`\`\`hcl
module "millrace" {
  source = "./millrace"

${required.map((variable) => `  ${variable.padEnd(width)} = …`).join('\n')}
}
\`\`\`

| variable | |
| --- | --- |
${rows.join('\n')}

Give your provider \`default_tags { tags = { Project = "millrace", Environment = "<name>" } }\`: the budget counts by them. The module
has no state bucket, image repository or roles for workflows; those are bootstrap's. \`millrace.tf.json\` is generated: do not edit it.
`
}
