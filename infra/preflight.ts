/**
 * `npm run deploy -- check <bootstrap or environment>`: what would stop a deployment, each with what to do. It only looks.
 *
 *     credentials ─▶ account ─▶ zones · quotas · service-linked roles · domain · e-mail of alarms
 */
import { DescribeAddressesCommand, DescribeAvailabilityZonesCommand, EC2Client } from '@aws-sdk/client-ec2'
import { GetOpenIDConnectProviderCommand, GetRoleCommand, IAMClient } from '@aws-sdk/client-iam'
import { GetHostedZoneCommand, Route53Client } from '@aws-sdk/client-route-53'
import { GetServiceQuotaCommand, ServiceQuotasClient } from '@aws-sdk/client-service-quotas'
import { ListSubscriptionsByTopicCommand, SNSClient } from '@aws-sdk/client-sns'
import { GetCallerIdentityCommand, STSClient } from '@aws-sdk/client-sts'
import { GITHUB_ISSUER } from './constructs/github-roles.ts'
import type { Account, Environment } from './environment.ts'
import { natsOf, prefix, vcpusOf } from './names.ts'

export interface Finding {
  /** What was looked at, and what was found. */
  readonly text: string
  /** What to do; undefined: nothing, it is fine. */
  readonly fix?: string
}

/** Whether whoever runs this is in the account; ends at the first thing to do. */
export async function* identity({ id, region }: Account): AsyncGenerator<Finding> {
  const caller = await new STSClient({ region }).send(new GetCallerIdentityCommand()).catch(reasonOf)
  if (typeof caller === 'string') {
    yield { text: `credentials: none that AWS takes (${caller})`, fix: 'aws sts get-caller-identity must answer first' }
    return
  }
  yield { text: `credentials: ${caller.Arn}` }
  if (caller.Account !== id) {
    const fix = 'use credentials of that account, or correct account.id'
    yield { text: `account: these are of ${caller.Account}, infra/config.ts says ${id}`, fix }
    return
  }
  yield { text: `account: ${id}, ${region}` }
}

/** In the order of the picture; ends early where nothing more can be asked. */
export async function* preflight(account: Account, environment: Environment | undefined): AsyncGenerator<Finding> {
  for await (const finding of identity(account)) {
    yield finding
    if (finding.fix !== undefined) return
  }
  const { region } = account
  if (environment === undefined) {
    yield await openIdConnectProvider(account)
    return
  }
  yield await zonesOf(region, environment)
  yield await elasticIps(account, environment)
  yield await fargateVcpus(account, environment)
  for (const service of linkedServices(environment)) yield await serviceLinkedRole(region, service)
  if (environment.domain) yield await zoneOfDomain(region, environment.domain)
  yield await alarmsReach(account, environment)
}

async function openIdConnectProvider({ id, region, github }: Account): Promise<Finding> {
  const arn = `arn:aws:iam::${id}:oidc-provider/${GITHUB_ISSUER}`
  const found = await new IAMClient({ region })
    .send(new GetOpenIDConnectProviderCommand({ OpenIDConnectProviderArn: arn }))
    .catch(reasonOf)
  const isThere = typeof found !== 'string'
  const text = `OpenID Connect provider of GitHub: ${isThere ? 'is there' : 'not there yet'}`
  if (github.oidcProvider === 'existing') {
    return isThere ? { text } : { text, fix: 'leave github.oidcProvider out: bootstrap makes it' }
  }
  if (!isThere) return { text }
  const fix =
    "if another project made it, set github.oidcProvider: 'existing'; if bootstrap did, this is as it should be"
  return { text, ...(!('Tags' in found && found.Tags?.some(({ Value }) => Value === 'millrace')) && { fix }) }
}

async function zonesOf(region: string, { zones, name }: Environment): Promise<Finding> {
  const found = await new EC2Client({ region }).send(new DescribeAvailabilityZonesCommand()).catch(reasonOf)
  if (typeof found === 'string') return unknown('zones', found)
  const there = found.AvailabilityZones?.map(({ ZoneName }) => ZoneName) ?? []
  const missing = zones.map((zone) => region + zone).filter((zone) => !there.includes(zone))
  if (missing.length === 0) return { text: `zones: ${zones.map((zone) => region + zone).join(', ')}` }
  return {
    text: `zones: ${missing.join(', ')} is not there for this account`,
    fix: `${name}.zones: use ${there.join(', ')}`,
  }
}

async function elasticIps({ region, quotas }: Account, environment: Environment): Promise<Finding> {
  const [quota, found] = await Promise.all([
    quotaOf(region, 'ec2', 'L-0263D0A3'),
    new EC2Client({ region }).send(new DescribeAddressesCommand()).catch(reasonOf),
  ])
  if (typeof quota === 'string') return unknown('Elastic IPs', quota)
  if (typeof found === 'string') return unknown('Elastic IPs', found)
  const all = found.Addresses ?? []
  const own = all.filter(({ Tags = [] }) =>
    Tags.some(({ Key, Value }) => Key === 'Environment' && Value === environment.name),
  )
  const more = Math.max(0, natsOf(environment) - own.length)
  const text = `Elastic IPs: ${all.length} in use, ${more} more needed, ${quota} allowed (infra/config.ts says ${quotas.elasticIps})`
  return all.length + more <= quota ? { text } : { text, fix: request('ec2', 'L-0263D0A3', all.length + more) }
}

async function fargateVcpus({ region, quotas }: Account, environment: Environment): Promise<Finding> {
  const quota = await quotaOf(region, 'fargate', 'L-3032A538')
  if (typeof quota === 'string') return unknown('Fargate vCPUs', quota)
  const most = vcpusOf(environment)
  const text = `Fargate vCPUs: ${most} at most, ${quota} allowed (infra/config.ts says ${quotas.fargateVcpus})`
  return most <= quota ? { text } : { text, fix: request('fargate', 'L-3032A538', Math.ceil(most)) }
}

async function quotaOf(region: string, ServiceCode: string, QuotaCode: string): Promise<number | string> {
  const client = new ServiceQuotasClient({ region })
  const found = await client.send(new GetServiceQuotaCommand({ ServiceCode, QuotaCode })).catch(reasonOf)
  return typeof found === 'string' ? found : (found.Quota?.Value ?? 'AWS names no value')
}

function request(service: string, quota: string, value: number): string {
  return `aws service-quotas request-service-quota-increase --service-code ${service} --quota-code ${quota} --desired-value ${value}`
}

/** Services of AWS that act in the account by a role of their own. */
export function linkedServices({ profile }: Environment): readonly ('ECS' | 'Kafka')[] {
  return profile === 'scaled' ? ['ECS', 'Kafka'] : ['ECS']
}

/** The first resource of a service makes it; that first one may fail, as the role is not known everywhere yet. */
async function serviceLinkedRole(region: string, service: string): Promise<Finding> {
  const RoleName = `AWSServiceRoleFor${service}`
  const found = await new IAMClient({ region }).send(new GetRoleCommand({ RoleName })).catch(reasonOf)
  if (typeof found !== 'string') return { text: `${RoleName}: is there` }
  const fix = `aws iam create-service-linked-role --aws-service-name ${service.toLowerCase()}.amazonaws.com, and wait a minute`
  return { text: `${RoleName}: not there (${found})`, fix }
}

async function zoneOfDomain(region: string, domain: NonNullable<Environment['domain']>): Promise<Finding> {
  const { name, hostedZoneId: Id } = domain
  const found = await new Route53Client({ region }).send(new GetHostedZoneCommand({ Id })).catch(reasonOf)
  if (typeof found === 'string') {
    return { text: `zone ${Id}: ${found}`, fix: 'write the id of a hosted zone of this account (Route 53)' }
  }
  const zone = found.HostedZone?.Name?.replace(/\.$/, '') ?? ''
  const isWithin = name === zone || name.endsWith(`.${zone}`)
  const text = `zone ${Id}: ${zone}`
  return isWithin ? { text } : { text, fix: `${name} is not in it: write the zone of that name` }
}

async function alarmsReach({ id, region, alertsEmail }: Account, environment: Environment): Promise<Finding> {
  const TopicArn = `arn:aws:sns:${region}:${id}:${prefix(environment)}-alarms`
  const found = await new SNSClient({ region }).send(new ListSubscriptionsByTopicCommand({ TopicArn })).catch(reasonOf)
  if (typeof found === 'string') return { text: `e-mail of alarms: ${alertsEmail}, asked to confirm once deployed` }
  const isConfirmed = found.Subscriptions?.some(
    ({ Endpoint, SubscriptionArn = '' }) => Endpoint === alertsEmail && SubscriptionArn.startsWith('arn:'),
  )
  if (isConfirmed) return { text: `e-mail of alarms: ${alertsEmail}` }
  return {
    text: `e-mail of alarms: ${alertsEmail} has not confirmed`,
    fix: 'open the mail of SNS and confirm: alarms reach nobody',
  }
}

function unknown(what: string, reason: string): Finding {
  return { text: `${what}: could not be asked (${reason})`, fix: 'ask with credentials that may read it' }
}

/** One line of what AWS, or the way there, says. */
function reasonOf(error: unknown): string {
  const { name, message } = error as Error
  return `${name}: ${message.split('\n')[0]}`
}
