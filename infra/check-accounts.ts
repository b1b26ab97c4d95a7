/** Checks where environments are: accounts, regions, and what AWS lets each account have. */
import { checkWhole, fail, show } from './config-error.ts'
import type { Account, Environment, OtherAccount } from './environment.ts'
import { natsOf, vcpusOf } from './names.ts'
import { placeOf } from './place.ts'

/** @throws ConfigError */
export function checkAccounts(account: Account, environments: readonly Environment[]): void {
  const known = new Map<string, OtherAccount>()
  for (const { name, account: other, region } of environments) {
    if (region !== undefined) checkRegion(`${name}.region`, region)
    if (other === undefined) continue
    checkPlace(`${name}.account`, other.id, other.region)
    if (other.id === account.id) fail(`${name}.account`, `${other.id} is the first account`, 'leave it out')
    const before = known.get(other.id)
    if (before !== undefined && JSON.stringify(before) !== JSON.stringify(other)) {
      fail(`${name}.account`, `${other.id} is described twice, in different words`, 'write it once, and name it twice')
    }
    known.set(other.id, other)
  }
  const places = Map.groupBy(environments, (environment) => {
    const { id, region } = placeOf(account, environment)
    return `${id} ${region}`
  })
  checkQuotaNumbers('account', account)
  for (const within of places.values()) checkQuotas(account, within)
}

/** @throws ConfigError */
export function checkPlace(key: string, id: string, region: string): void {
  if (!/^\d{12}$/.test(id ?? '')) fail(`${key}.id`, `${show(id)} is not an AWS account`, 'write its twelve digits')
  checkRegion(`${key}.region`, region)
}

function checkRegion(key: string, region: string): void {
  if (/^[a-z]{2}(-[a-z]+)+-\d$/.test(region ?? '')) return
  fail(key, `${show(region)} is not an AWS region`, 'write one such as eu-central-1')
}

function checkQuotaNumbers(key: string, { quotas }: Pick<Account, 'quotas'>): void {
  checkWhole(`${key}.quotas.elasticIps`, quotas?.elasticIps, 0, 1_000_000)
  checkWhole(`${key}.quotas.fargateVcpus`, quotas?.fargateVcpus, 0, 1_000_000)
}

/** Tasks at their most: a quota that is met on the busiest day alone is found on that day. All are in one account and region. */
function checkQuotas(account: Account, environments: readonly Environment[]): void {
  const [first] = environments
  const key = first?.account === undefined ? 'account' : `${first.name}.account`
  const { quotas } = placeOf(account, first)
  checkQuotaNumbers(key, { quotas })
  const addresses = environments.reduce((sum, environment) => sum + natsOf(environment), 0)
  const vcpus = environments.reduce((sum, environment) => sum + vcpusOf(environment), 0)
  const more = (code: string) => `ask AWS for more (Service Quotas, ${code}), and write what you have`
  if (addresses > quotas.elasticIps) {
    fail(`${key}.quotas.elasticIps`, `the NAT gateways need ${addresses} addresses`, more('L-0263D0A3'))
  }
  if (vcpus > quotas.fargateVcpus) {
    const problem = `all tasks at their most need ${vcpus} vCPUs`
    fail(`${key}.quotas.fargateVcpus`, problem, `lower maxTasks, or ${more('L-3032A538')}`)
  }
}
