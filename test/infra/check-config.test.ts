import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { checkConfig, findEnvironment } from '../../infra/check-config.ts'
import { parseCidr, subnetOf } from '../../infra/cidr.ts'
import { account, environments } from '../../infra/config.ts'
import { synth, temporaryProject } from '../support/synth.ts'

const [dev, , prod] = environments
type Values = Record<string, unknown>
const NETWORK = {
  vpcId: 'vpc-0123abcd',
  privateSubnetIds: ['subnet-0000000a', 'subnet-0000000b'],
  publicSubnetIds: ['subnet-0000000c', 'subnet-0000000d'],
}
const OTHER = {
  id: '444455556666',
  region: 'eu-north-1',
  quotas: { elasticIps: 5, fargateVcpus: 100 },
}
const BROKERS = { brokers: ['a.example:9096'], auth: 'none', at: { cidr: '10.0.0.0/8' } }
const check = (accountEdit: Values, edit: Values = {}, base: unknown = dev) =>
  checkConfig({ ...account, ...accountEdit } as never, [{ ...(base as Values), ...edit } as never])

test('the config that is there is possible', () => {
  expect(() => checkConfig(account, environments)).not.toThrow()
})

describe('at synth, one line says which value is wrong and what to write', () => {
  test.each([
    ['a bad CIDR', ["'10.10.0.0/20'", "'10.300.0.0/20'"], /dev\.cidr: "10\.300\.0\.0\/20" is not a network/],
    [
      'an environment with a hyphen',
      ["name: 'staging'", "name: 'dev-eu'"],
      /environments: "dev-eu" is not a name: use 2 to 16 lower-case letters and digits, such as dev/,
    ],
    [
      'a missing e-mail',
      ["alertsEmail: 'alerts@example.com'", "alertsEmail: ''"],
      /account\.alertsEmail: "" is not an e-mail/,
    ],
    [
      'an image without digest in prod',
      [
        "cidr: '10.30.0.0/20',\n    zones: ['a', 'b', 'c'],\n    natGateways: 'per-zone',\n    interfaceEndpoints: [],\n    image: released",
        "cidr: '10.30.0.0/20',\n    zones: ['a', 'b', 'c'],\n    natGateways: 'per-zone',\n    interfaceEndpoints: [],\n    image: { tag: 'latest' }",
      ],
      /prod\.image: production runs an image by its digest only: write \{ digest: 'sha256:…' \}/,
    ],
  ] as const)('%s', (_, edit, message) => {
    const { code, stderr, stacks } = synth(temporaryProject([edit]))
    expect(code).toBe(1)
    expect(stderr.trim().split('\n')).toHaveLength(1)
    expect(stderr).toMatch(message)
    expect(stacks.size).toBe(0)
  })
})

describe('impossible values', () => {
  test.each<[Values, Values, unknown, RegExp]>([
    [{ id: '12' }, {}, dev, /account\.id: "12" is not an AWS account: write its twelve digits/],
    [{ region: 'Frankfurt' }, {}, dev, /account\.region/],
    [{ alertsEmail: undefined }, {}, dev, /account\.alertsEmail: nothing is not an e-mail address/],
    [{ pagerDuty: { secretArn: 'key' } }, {}, dev, /account\.pagerDuty\.secretArn: "key" is not a secret/],
    [{ github: { owner: 'a b', repository: 'x' } }, {}, dev, /account\.github\.owner/],
    [{ github: { owner: 'a', repository: 'x', ownerId: 1 } }, {}, dev, /ownerId and repositoryId belong together/],
    [
      { github: { owner: 'a', repository: 'x', deploys: ['live'] } },
      {},
      dev,
      /account\.github\.deploys: unknown environment "live": infra\/config\.ts has dev/,
    ],
    [
      { quotas: { elasticIps: 0, fargateVcpus: 100 } },
      {},
      dev,
      /elasticIps: the NAT gateways need 1 addresses: ask AWS/,
    ],
    [
      { quotas: { elasticIps: 5, fargateVcpus: 6 } },
      {},
      prod,
      /fargateVcpus: all tasks at their most need 72 vCPUs: lower maxTasks, or ask AWS for more \(Service Quotas, L-/,
    ],
    [{ quotas: undefined }, {}, dev, /account\.quotas\.elasticIps: nothing is out of range/],
    [{}, { domain: undefined }, prod, /prod\.domain: production without one would take API keys over plain HTTP/],
    [{}, { formerLog: 'drain' }, dev, /dev\.formerLog: the single profile has its log, and no former one/],
    [{}, { formerLog: 'burn' }, prod, /prod\.formerLog: "burn" is neither drain nor keep/],
    [{}, { formerLog: 'drain' }, prod, /prod\.tasks\.all: the single profile needs it/],
    [{ awsProviderVersion: '~> 6' }, {}, dev, /account\.awsProviderVersion/],
    [{}, { cidr: '10.0.0.0/8' }, dev, /dev\.cidr/],
    [{}, { cidr: '10.10.0.1/20' }, dev, /dev\.cidr/],
    [{}, { cidr: '8.8.0.0/16' }, dev, /dev\.cidr: 8\.8\.0\.0\/16 is not private/],
    [{}, { zones: ['a'] }, dev, /dev\.zones/],
    [{}, { zones: ['a', 'a'] }, dev, /dev\.zones/],
    [{}, { zones: ['a', '1'] }, dev, /dev\.zones: "1" is not a zone/],
    [{}, { zones: ['a', 'b'] }, prod, /prod\.zones: one broker a zone/],
    [{}, { natGateways: 'two' }, dev, /dev\.natGateways: "two" is neither one nor per-zone/],
    [{}, { image: undefined }, dev, /dev\.image: it is missing/],
    [{}, { image: undefined }, prod, /prod\.image: production runs an image by its digest only/],
    [{}, { image: { digest: 'sha256:abc' } }, prod, /prod\.image\.digest: "sha256:abc" is not a digest/],
    [{}, { image: { tag: 'a b' } }, dev, /dev\.image\.tag/],
    [{}, { spotShare: 2 }, dev, /dev\.spotShare/],
    [{}, { spotShare: 0.5 }, prod, /prod\.spotShare: AWS may take a Spot task away/],
    [{}, { profile: 'huge' }, dev, /dev\.profile/],
    [{}, { profile: 'scaled', zones: ['a', 'b', 'c'] }, dev, /dev\.tasks\.ingest: the scaled profile needs it/],
    [{}, { kafka: undefined }, prod, /prod\.kafka: the scaled profile needs brokers/],
    [{}, { kafka: { brokerType: 'x', storageGiB: 0, plannedMibps: 1 } }, prod, /prod\.kafka\.storageGiB/],
    [
      {},
      { kafka: { brokerType: 'x', storageGiB: 9, maxStorageGiB: 8, plannedMibps: 1 } },
      prod,
      /prod\.kafka\.maxStorageGiB: 8 is out of range: write 9 to 16384/,
    ],
    [
      {},
      { kafka: { brokerType: 'x', storageGiB: 9, plannedMibps: 0 } },
      prod,
      /prod\.kafka\.plannedMibps: 0 is no rate/,
    ],
    [
      {},
      { kafka: { brokerType: 'x', storageGiB: 100, plannedMibps: 20 } },
      prod,
      /prod\.kafka\.maxStorageGiB: at 20 MiB\/s, 400 GiB last for 3\.4 hours: a sink may be away for a day/,
    ],
    [{}, { tasks: { all: { cpu: 500, memoryMiB: 1024, minTasks: 1, maxTasks: 1 } } }, dev, /dev\.tasks\.all\.cpu/],
    [
      {},
      { tasks: { all: { cpu: 512, memoryMiB: 8192, minTasks: 1, maxTasks: 1 } } },
      dev,
      /dev\.tasks\.all\.memoryMiB/,
    ],
    [{}, { tasks: { all: { cpu: 512, memoryMiB: 1024, minTasks: 1, maxTasks: 2 } } }, dev, /one task at a time/],
    [{}, { domain: { name: 'no', hostedZoneId: 'Z1' } }, dev, /dev\.domain\.name/],
    [{}, { domain: { name: 'a.example.com', hostedZoneId: '1' } }, dev, /dev\.domain\.hostedZoneId/],
    [{}, { allowedCidrs: ['somewhere'] }, dev, /dev\.allowedCidrs/],
    [{}, { allowedCidrs: 'everybody' }, dev, /dev\.allowedCidrs: "everybody" is no list: write 'me', or \['192/],
    [{}, { allowedCidrs: 'me' }, prod, /prod\.allowedCidrs: 'me' is for an environment without a domain: leave it out/],
    [
      {},
      { allowedCidrs: ['0.0.0.0/0'] },
      dev,
      /dev\.allowedCidrs: 0\.0\.0\.0\/0 is a large part of the world, over plain HTTP/,
    ],
    [{}, { allowedCidrs: ['203.0.0.0/15'] }, dev, /dev\.allowedCidrs: 203\.0\.0\.0\/15 is a large part/],
    [{}, { logRetentionDays: 42 }, dev, /dev\.logRetentionDays/],
    [{}, { requestsPerFiveMinutesPerAddress: 1 }, dev, /dev\.requestsPerFiveMinutesPerAddress/],
    [{}, { apiKeyVersion: 0 }, dev, /dev\.apiKeyVersion/],
    [{}, { budgetUsdPerMonth: -1 }, dev, /dev\.budgetUsdPerMonth/],
    [
      {},
      { variables: { CHANEL_CAPACITY_EVENTS: '1' } },
      dev,
      /dev\.variables\.CHANEL_CAPACITY_EVENTS: the service has no such variable/,
    ],
    [{}, { variables: { toString: '1' } }, dev, /dev\.variables\.toString: the service has no such variable/],
    [
      {},
      { variables: { STAMP_SENDER: 'useragent,address' } },
      dev,
      /dev\.variables\.STAMP_SENDER: .* address of the load balancer: add TRUSTED_PROXIES: '10\.10\.0\.0\/20'/,
    ],
    [
      {},
      { variables: { TRUSTED_PROXIES: '10.0.0.0', STAMP_SENDER: 'agent' } },
      dev,
      /STAMP_SENDER: "agent" is not a list/,
    ],
    [{}, { variables: { ROLE: 'all' } }, dev, /dev\.variables\.ROLE: the stacks decide it: leave it out/],
    [
      {},
      { variables: { CHANNEL_CAPACITY_EVENTS: 5 } },
      dev,
      /CHANNEL_CAPACITY_EVENTS: 5 is not a text: write it in quotes/,
    ],
    [
      {},
      { variables: { CHANNEL_CAPACITY_EVENTS: 'many' } },
      dev,
      /dev\.variables\.CHANNEL_CAPACITY_EVENTS: "many" is not a whole number/,
    ],
    [
      {},
      { variables: { ADMIN_TOKEN: 'abc' } },
      dev,
      /ADMIN_TOKEN: plans and states would show it: write secrets: \{ ADMIN_TOKEN/,
    ],
    [
      {},
      { variables: { POSTGRES_SINK_URL: 'postgres://a:hidden@b/c' }, sinks: { postgres: { cidr: '10.0.0.0/8' } } },
      dev,
      /POSTGRES_SINK_URL: plans and states would show it/,
    ],
    [
      {},
      { variables: { HTTP_SINK_URL: 'https://a.b' }, secrets: { HTTP_SINK_URL: { secret: 'a' } } },
      dev,
      /dev\.secrets\.HTTP_SINK_URL: it is in variables, too: keep one/,
    ],
    [
      {},
      { hookSecrets: { PORT: { secret: 'a' } } },
      dev,
      /dev\.hookSecrets\.PORT: the service has this name for itself/,
    ],
    [{}, { hookSecrets: { MILLRACE_X: { secret: 'a' } } }, dev, /hookSecrets\.MILLRACE_X: the service has this name/],
    [{}, { hookSecrets: { 'A B': { secret: 'a' } } }, dev, /hookSecrets\.A B: it is not the name of a variable/],
    [{}, { hookSecrets: { HOOK: {} } }, dev, /hookSecrets\.HOOK: \{\} names no secret/],
    [{}, { variables: { TLS_CERT_FILE: '/x' } }, dev, /dev\.variables\.TLS_CERT_FILE: the stacks decide it/],
    [{}, { secrets: { PASWORD: { secret: 'a' } } }, dev, /dev\.secrets\.PASWORD: the service has no such variable/],
    [{}, { secrets: { API_KEYS: { secret: 'a' } } }, dev, /dev\.secrets\.API_KEYS: the stacks decide it/],
    [{}, { secrets: { ADMIN_TOKEN: {} } }, dev, /dev\.secrets\.ADMIN_TOKEN: \{\} names no secret/],
    [{}, { secrets: { ADMIN_TOKEN: { secret: 'a', parameter: 'b' } } }, dev, /ADMIN_TOKEN: .* names no secret/],
    [
      {},
      { secrets: { ADMIN_TOKEN: { secret: 'arn:aws:x' } } },
      dev,
      /"arn:aws:x" is not the name of a secret: write its name, not/,
    ],
    [{}, { secrets: { ADMIN_TOKEN: { parameter: 'a b' } } }, dev, /"a b" is not the name of a parameter/],
    [
      {},
      { secrets: { ADMIN_TOKEN: { parameter: 'a', jsonKey: 'b' } } },
      dev,
      /ADMIN_TOKEN\.jsonKey: "b" is not a key of a JSON/,
    ],
    [
      {},
      { secrets: { ADMIN_TOKEN: { secret: 'a', kmsKeyArn: 'mine' } } },
      dev,
      /ADMIN_TOKEN\.kmsKeyArn: "mine" is not a KMS key/,
    ],
    [{}, { sinks: {} }, dev, /dev\.sinks: no event would go anywhere: write \{ s3: 'archive' \}/],
    [{}, { sinks: { kafka: {} } }, dev, /dev\.sinks\.kafka: there is no such sink here: use s3, postgres, http/],
    [{}, { sinks: { s3: { bucket: 'A_B' } } }, dev, /dev\.sinks\.s3: "A_B" is not a bucket/],
    [
      {},
      { sinks: { s3: { bucket: 'abc', region: 'here' } } },
      dev,
      /dev\.sinks\.s3\.region: "here" is not an AWS region/,
    ],
    [
      {},
      { sinks: { s3: { bucket: 'abc', kmsKeyArn: 'alias/a' } } },
      dev,
      /dev\.sinks\.s3\.kmsKeyArn: "alias\/a" is not a KMS key/,
    ],
    [{}, { sinks: { postgres: { cidr: '10.0.0.0/16' } } }, dev, /dev\.sinks\.postgres: POSTGRES_SINK_URL is missing/],
    [{}, { sinks: { postgres: {} } }, dev, /dev\.sinks\.postgres: \{\} is not one place/],
    [
      {},
      { sinks: { postgres: { securityGroupId: 'db' } } },
      dev,
      /postgres\.securityGroupId: "db" is not a security group/,
    ],
    [{}, { sinks: { postgres: { cidr: '10.0.0.1/8' } } }, dev, /postgres\.cidr: "10\.0\.0\.1\/8" is not a CIDR/],
    [{}, { sinks: { http: { cidr: '10.0.0.0/8', port: 0 } } }, dev, /dev\.sinks\.http\.port: 0 is not a port/],
    [
      {},
      { sinks: { http: 'https' } },
      dev,
      /dev\.sinks\.http: HTTP_SINK_URL is missing: write it into variables or secrets/,
    ],
    [
      {},
      { sinks: { http: 'https' }, variables: { HTTP_SINK_URL: 'https://a.example:8443/' } },
      dev,
      /dev\.sinks\.http: the URL goes to port 8443, and 443 is open: write/,
    ],
    [
      {},
      { variables: { HTTP_SINK_URL: 'https://a.example/' } },
      dev,
      /dev\.sinks: HTTP_SINK_URL is set, and no event goes there: add http to sinks/,
    ],
    [{}, { natGateways: 'none' }, dev, /dev\.natGateways: tasks would have no way to AWS: use one, or per-zone/],
    [{}, { network: NETWORK }, dev, /dev\.natGateways: a VPC that is there has its own way out: use 'none'/],
    [
      {},
      { network: NETWORK, natGateways: 'none', interfaceEndpoints: ['logs'] },
      dev,
      /dev\.interfaceEndpoints: nothing is made in/,
    ],
    [
      {},
      { network: { ...NETWORK, vpcId: 'mine' }, natGateways: 'none' },
      dev,
      /dev\.network\.vpcId: "mine" is not a VPC/,
    ],
    [
      {},
      { network: { ...NETWORK, publicSubnetIds: ['a'] }, natGateways: 'none' },
      dev,
      /publicSubnetIds: "a" is not a subnet/,
    ],
    [
      {},
      { network: { ...NETWORK, privateSubnetIds: ['subnet-0000000a'] }, natGateways: 'none' },
      dev,
      /dev\.network\.privateSubnetIds: 1 subnets for 2 zones: write one of each zone/,
    ],
    [
      {},
      { network: { ...NETWORK, publicSubnetIds: NETWORK.privateSubnetIds }, natGateways: 'none' },
      dev,
      /dev\.network: subnet-0000000a is private and public/,
    ],
    [
      {},
      { network: NETWORK, natGateways: 'none', cidr: '10.0.0.0/29' },
      dev,
      /dev\.cidr: "10\.0\.0\.0\/29" is not a network of \/8 to/,
    ],
    [{}, { kafka: { ...BROKERS, brokers: [] } }, prod, /prod\.kafka\.brokers: \[\] names no broker/],
    [{}, { kafka: { ...BROKERS, brokers: ['a'] } }, prod, /prod\.kafka\.brokers: "a" is not host:port/],
    [{}, { kafka: { ...BROKERS, brokers: ['a:1', 'b:2'] } }, prod, /prod\.kafka\.brokers: they have different ports/],
    [{}, { kafka: { ...BROKERS, auth: 'mtls' } }, prod, /prod\.kafka\.auth: "mtls" is not known here: use none, tls/],
    [{}, { kafka: { ...BROKERS, at: undefined } }, prod, /prod\.kafka\.at: \{\} is not one place/],
    [{}, { kafka: { ...BROKERS, auth: 'msk-iam' } }, prod, /prod\.kafka\.clusterArn: nothing is not a cluster of MSK/],
    [
      {},
      { kafka: { ...BROKERS, auth: 'scram-sha-256' } },
      prod,
      /prod\.kafka\.auth: scram-sha-256 needs KAFKA_USERNAME/,
    ],
    [
      {},
      { kafka: { ...BROKERS, auth: 'scram-sha-256' }, variables: { KAFKA_USERNAME: 'a' } },
      prod,
      /prod\.kafka\.auth: scram-sha-256 needs KAFKA_PASSWORD: write it into secrets/,
    ],
    [{}, { name: 'github' }, dev, /environments: "github" is taken by the stacks/],
    [{}, { name: 'a' }, dev, /environments: "a" is not a name/],
    [{}, { region: 'Irland' }, dev, /dev\.region: "Irland" is not an AWS region/],
    [
      {},
      { account: { ...OTHER, id: '4' } },
      dev,
      /dev\.account\.id: "4" is not an AWS account: write its twelve digits/,
    ],
    [{}, { account: { ...OTHER, region: undefined } }, dev, /dev\.account\.region: nothing is not an AWS region/],
    [{}, { account: { ...OTHER, id: account.id } }, dev, /dev\.account: \d+ is the first account: leave it out/],
    [
      {},
      { account: { ...OTHER, quotas: undefined } },
      dev,
      /dev\.account\.quotas\.elasticIps: nothing is out of range/,
    ],
    [
      {},
      { account: { ...OTHER, quotas: { elasticIps: 0, fargateVcpus: 100 } } },
      dev,
      /dev\.account\.quotas\.elasticIps: the NAT gateways need 1 addresses/,
    ],
  ])('%j %j', (accountEdit, edit, base, message) => {
    expect(() => check(accountEdit, edit, base)).toThrow(message)
  })

  test('quotas are of an account and region, not of all environments together', () => {
    const quotas = { elasticIps: 3, fargateVcpus: 100 }
    const [first, second] = [
      { ...prod, name: 'one' },
      { ...prod, name: 'two' },
    ] as (typeof environments)[number][]
    const within = { ...account, quotas, github: { ...account.github, deploys: [] } }
    expect(() => checkConfig(within, [first!, second!])).toThrow(/elasticIps: the NAT gateways need 6/)
    expect(() => checkConfig(within, [first!, { ...second!, region: 'eu-west-1' }])).not.toThrow()
    expect(() => checkConfig(within, [first!, { ...second!, account: OTHER }])).not.toThrow()
    expect(() =>
      checkConfig(within, [
        { ...first!, account: OTHER },
        { ...second!, account: { ...OTHER, region: 'eu-west-1' } },
      ]),
    ).toThrow(/two\.account: 444455556666 is described twice/)
  })

  test('an environment twice, or one that is not there', () => {
    expect(() => checkConfig(account, [...environments, ...environments])).toThrow(/dev is there twice/)
    expect(() => findEnvironment(environments, 'prodd')).toThrow(/unknown environment "prodd".*dev, staging, prod/)
    expect(findEnvironment(environments, 'prod')).toBe(prod)
  })
})

test('the subnets of a network lie in it and do not overlap', () => {
  fc.assert(
    fc.property(fc.integer({ min: 16, max: 22 }), fc.nat(255), (bits, octet) => {
      const size = 2 ** (32 - bits)
      const first = Math.floor((10 * 2 ** 24 + octet * 2 ** 16) / size) * size
      const text = `${[24, 16, 8, 0].map((shift) => Math.floor(first / 2 ** shift) % 256).join('.')}/${bits}`
      const ranges = Array.from({ length: 8 }, (_, at) => parseCidr(subnetOf(text, bits + 3, at)))
      for (const [at, range] of ranges.entries()) {
        expect(range?.first).toBe(first + (at * size) / 8)
        expect(range?.size).toBe(size / 8)
      }
      expect(() => subnetOf(text, bits + 3, 8)).toThrow(/no room/)
    }),
  )
})
