/** The Terraform states that released versions have left (test/fixtures/<version>/stacks), and which of their resources hold data. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'

const FIXTURES = resolve(import.meta.dirname, '../fixtures')

/** Replaced or destroyed, they take something with them that no deployment brings back: data, a key, an address that others use. */
const HOLDING_DATA: ReadonlySet<string> = new Set([
  'aws_cloudwatch_log_group',
  'aws_ecr_repository',
  'aws_efs_access_point',
  'aws_efs_file_system',
  'aws_kms_key',
  'aws_lb',
  'aws_msk_cluster',
  'aws_prometheus_workspace',
  'aws_s3_bucket',
  'aws_secretsmanager_secret',
  'aws_sns_topic',
  'aws_vpc',
])

export interface StackState {
  readonly stack: string
  /** As Terraform reads it. */
  readonly text: string
  /** Addresses of what holds data. */
  readonly dataAddresses: readonly string[]
}

interface Resource {
  readonly type: string
  readonly name: string
}

/** Versions with states, such as `0.1.0`. */
export const STATE_VERSIONS = readdirSync(FIXTURES).filter((version) => existsSync(join(FIXTURES, version, 'stacks')))

export function statesOf(version: string): StackState[] {
  const directory = join(FIXTURES, version, 'stacks')
  return readdirSync(directory).map((file) => {
    const text = readFileSync(join(directory, file), 'utf8')
    const { resources } = JSON.parse(text) as { resources: readonly Resource[] }
    const kept = resources.filter(({ type }) => HOLDING_DATA.has(type))
    return {
      stack: file.replace('.tfstate', ''),
      text,
      dataAddresses: kept.map(({ type, name }) => `${type}.${name}`),
    }
  })
}

interface Plan {
  readonly resource_changes?: readonly { readonly address: string; readonly change: { readonly actions: string[] } }[]
}

/** Of the given addresses, those that a plan (`terraform show -json`) destroys, replaces, or no longer has. */
export function lostIn(plan: Plan, addresses: readonly string[]): string[] {
  const actions = new Map(plan.resource_changes?.map(({ address, change }) => [address, change.actions]))
  return addresses.filter((address) => actions.get(address)?.includes('delete') ?? true)
}
