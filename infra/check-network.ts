/** Checks the network of an environment, and existing brokers. */
import { checkDestination } from './check-service.ts'
import { parseCidr } from './cidr.ts'
import { fail, show } from './config-error.ts'
import type { Environment, ExistingKafka, ExistingNetwork } from './environment.ts'
import { brokerPort } from './kafka.ts'

/** Private ranges of RFC 1918. */
const PRIVATE_RANGES = ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16']
const AUTHS: readonly string[] = [
  'none',
  'tls',
  'scram-sha-256',
  'scram-sha-512',
  'msk-iam',
] satisfies ExistingKafka['auth'][]

/** @throws ConfigError */
export function checkNetwork(environment: Environment): void {
  const { name, zones, natGateways, network, interfaceEndpoints } = environment
  const at = (key: string) => `${name}.${key}`
  checkZones(at('zones'), zones)
  if (!['none', 'one', 'per-zone'].includes(natGateways)) {
    fail(at('natGateways'), `${show(natGateways)} is neither one nor per-zone`, 'use per-zone in production')
  }
  if (network === undefined) {
    checkRange(at('cidr'), environment.cidr, 16, 22)
    if (natGateways === 'none') fail(at('natGateways'), 'tasks would have no way to AWS', 'use one, or per-zone')
    return
  }
  checkRange(at('cidr'), environment.cidr, 8, 28)
  if (natGateways !== 'none') fail(at('natGateways'), 'a VPC that is there has its own way out', "use 'none'")
  if (interfaceEndpoints.length > 0) {
    fail(at('interfaceEndpoints'), 'nothing is made in a VPC that is there', 'use []')
  }
  if (!/^vpc-[0-9a-f]{8,17}$/.test(network.vpcId ?? '')) {
    fail(at('network.vpcId'), `${show(network.vpcId)} is not a VPC`, 'write its id, vpc-…')
  }
  for (const key of ['privateSubnetIds', 'publicSubnetIds'] as const) checkSubnets(at('network'), key, network, zones)
  const both = network.privateSubnetIds.find((id) => network.publicSubnetIds.includes(id))
  if (both !== undefined) {
    fail(at('network'), `${both} is private and public`, 'tasks are in subnets without a route from the internet')
  }
}

function checkZones(key: string, zones: readonly string[]): void {
  if (!(zones?.length >= 2 && zones.length <= 3 && new Set(zones).size === zones.length)) {
    const fix = "write letters such as ['a', 'b']: a load balancer needs two"
    fail(key, `${show(zones)} is not two or three zones`, fix)
  }
  for (const zone of zones) {
    if (!/^[a-f]$/.test(zone)) fail(key, `${show(zone)} is not a zone`, 'write its letter, a for eu-central-1a')
  }
}

function checkSubnets(
  key: string,
  list: 'privateSubnetIds' | 'publicSubnetIds',
  network: ExistingNetwork,
  zones: readonly string[],
): void {
  const ids = network[list] ?? []
  for (const id of ids) {
    if (!/^subnet-[0-9a-f]{8,17}$/.test(id))
      fail(`${key}.${list}`, `${show(id)} is not a subnet`, 'write its id, subnet-…')
  }
  if (new Set(ids).size !== zones.length || ids.length !== zones.length) {
    fail(`${key}.${list}`, `${ids.length} subnets for ${zones.length} zones`, 'write one of each zone')
  }
}

function checkRange(key: string, cidr: string, shortest: number, longest: number): void {
  const range = parseCidr(cidr)
  if (!range || range.bits < shortest || range.bits > longest) {
    fail(key, `${show(cidr)} is not a network of /${shortest} to /${longest}`, 'write one such as 10.10.0.0/20')
  }
  const isPrivate = PRIVATE_RANGES.some((text) => {
    const { first, size } = parseCidr(text) ?? { first: 0, size: 0 }
    return range.first >= first && range.first + range.size <= first + size
  })
  if (!isPrivate) fail(key, `${cidr} is not private`, `use a part of ${PRIVATE_RANGES.join(', ')}`)
}

/** @throws ConfigError */
export function checkExistingKafka(environment: Environment, kafka: ExistingKafka): void {
  const { name, variables = {}, secrets = {} } = environment
  const key = `${name}.kafka`
  const { brokers, auth, at, clusterArn } = kafka
  if (!Array.isArray(brokers) || brokers.length === 0) {
    fail(`${key}.brokers`, `${show(brokers)} names no broker`, "write ['broker-1.internal:9096', …]")
  }
  const odd = brokers.find((broker) => !/^[\w.-]+:\d{1,5}$/.test(broker))
  if (odd !== undefined) fail(`${key}.brokers`, `${show(odd)} is not host:port`, 'such as broker-1.internal:9096')
  if (brokerPort(kafka) === 0) fail(`${key}.brokers`, 'they have different ports', 'name brokers of one listener')
  if (!AUTHS.includes(auth)) fail(`${key}.auth`, `${show(auth)} is not known here`, `use ${AUTHS.join(', ')}`)
  checkDestination(`${key}.at`, at ?? {}, brokerPort(kafka))
  const isArn = /^arn:aws[\w-]*:kafka:[\w-]+:\d{12}:cluster\/[^/]+\/[\w-]+$/.test(clusterArn ?? '')
  if (auth === 'msk-iam' && !isArn) {
    fail(`${key}.clusterArn`, `${show(clusterArn)} is not a cluster of MSK`, 'msk-iam needs its whole ARN')
  }
  if (!auth.startsWith('scram')) return
  if (variables.KAFKA_USERNAME === undefined && secrets.KAFKA_USERNAME === undefined) {
    fail(`${key}.auth`, `${auth} needs KAFKA_USERNAME`, 'write it into variables or secrets')
  }
  if (secrets.KAFKA_PASSWORD === undefined) fail(`${key}.auth`, `${auth} needs KAFKA_PASSWORD`, 'write it into secrets')
}
