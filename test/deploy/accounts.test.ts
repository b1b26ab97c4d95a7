/**
 * An environment in another account than the first one, inside a VPC that is there, which delivers into a database of its team: by one
 * command, behind the gate. The database is a PostgreSQL of this machine; the task connects to it with the secrets that ECS would read,
 * and only if the deployed security group lets it.
 */
import { execFileSync } from 'node:child_process'
import { rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { type EmulatedAws, missing, startEmulatedAws } from '../support/emulated-aws.ts'
import { expectGateAgrees } from '../support/iam/agrees.ts'
import { startTaskRole } from '../support/kafka-iam.ts'
import { sessionOf } from '../support/pipeline.ts'
import { missingPostgres, Postgres } from '../support/postgres.ts'
import { CLI, until } from '../support/service.ts'
import { editedProject, OTHER_ACCOUNT } from '../support/synth.ts'
import { send, startTask } from '../support/task.ts'

const [FIRST, OTHER] = ['123456789012', '444455556666']
const REGION = 'eu-north-1'
const STACKS = ['bootstrap-444455556666', 'shop-foundation', 'shop-monitoring', 'shop-service']
const reason = missing() ?? missingPostgres()

let aws: EmulatedAws
let postgres: Postgres
let project: string
let database: { readonly groupId: string; readonly port: number }

async function ec2(Action: string, parameters: Record<string, string>): Promise<string> {
  const body = { Action, Version: '2016-11-15', ...parameters }
  const { status, text } = await aws.as('emulated').request('ec2', { body, region: REGION })
  if (status !== 200) throw new Error(`${Action}: ${text}`)
  return text
}

const idIn = (text: string, element: string) => new RegExp(`<${element}>([^<]+)<`).exec(text)?.[1] ?? ''

/** What a platform team has: a VPC with subnets in two zones, a database in a group of its own, and its secrets. */
async function makeWhatIsThere() {
  const vpcId = idIn(await ec2('CreateVpc', { CidrBlock: '10.9.0.0/16' }), 'vpcId')
  const subnets: string[] = []
  for (const [at, zone] of ['a', 'b', 'a', 'b'].entries()) {
    const where = { VpcId: vpcId, CidrBlock: `10.9.${at}.0/24`, AvailabilityZone: REGION + zone }
    subnets.push(idIn(await ec2('CreateSubnet', where), 'subnetId'))
  }
  const group = { VpcId: vpcId, GroupName: 'database', GroupDescription: 'The database of the shop' }
  const groupId = idIn(await ec2('CreateSecurityGroup', group), 'groupId')
  const { port, password } = new URL(postgres.url)
  const secret = { Name: 'shop/database', SecretString: JSON.stringify({ username: 'millrace', password }) }
  await aws.call('secretsmanager', 'secretsmanager.CreateSecret', secret, REGION)
  const migrate = { cwd: tmpdir(), env: { PATH: process.env.PATH, POSTGRES_SINK_URL: postgres.url } }
  execFileSync(process.execPath, [CLI, 'postgres', 'migrate'], migrate)
  const url = new URL(postgres.url)
  url.password = ''
  const parameter = { Name: '/shop/database-url', Value: url.href, Type: 'SecureString' }
  await aws.call('ssm', 'AmazonSSM.PutParameter', parameter, REGION)
  return { vpcId, subnets, database: { groupId, port: Number(port) } }
}

/** Ports and groups that the group of the tasks may connect to. */
async function waysOut(groupId: string): Promise<string[]> {
  const text = await ec2('DescribeSecurityGroupRules', { 'Filter.1.Name': 'group-id', 'Filter.1.Value.1': groupId })
  const rules = text.split('<item>').filter((rule) => rule.includes('<isEgress>true<'))
  return rules.map((rule) => `${idIn(rule, 'toPort')} ${idIn(rule.split('<referencedGroupInfo>')[1] ?? '', 'groupId')}`)
}

describe.skipIf(reason)(
  `an environment in an account and a VPC of its own${reason ? ` (left out: ${reason})` : ''}`,
  () => {
    beforeAll(async () => {
      aws = await startEmulatedAws(OTHER)
      postgres = await Postgres.start()
      const { vpcId, subnets, ...found } = await makeWhatIsThere()
      database = found.database
      const [one, two, three, four] = subnets
      project = editedProject([
        ['000000000000', FIRST],
        ["'0'.repeat(64)", "'a'.repeat(64)"],
        ['protectState: true', 'protectState: false'],
        ["    name: 'dev',\n", `    name: 'shop',\n    ${OTHER_ACCOUNT}\n`],
        ["deploys: ['dev']", "deploys: ['shop']"],
        [
          "cidr: '10.10.0.0/20',",
          `cidr: '10.9.0.0/16',
    network: { vpcId: '${vpcId}', privateSubnetIds: ['${one}', '${two}'], publicSubnetIds: ['${three}', '${four}'] },
    sinks: { postgres: { securityGroupId: '${database.groupId}', port: ${database.port} } },
    secrets: {
      POSTGRES_SINK_URL: { parameter: '/shop/database-url' },
      POSTGRES_SINK_PASSWORD: { secret: 'shop/database', jsonKey: 'password' },
    },`,
        ],
        ["zones: ['a', 'b'],\n    natGateways: 'one',", "zones: ['a', 'b'],\n    natGateways: 'none',"],
      ])
    }, 180_000)
    afterAll(async () => {
      await postgres?.stop()
      await aws?.stop()
      if (project) rmSync(project, { recursive: true, force: true })
    })

    const deploy = async (who: Pick<EmulatedAws, 'run'>, target: string) => {
      const command = ['run', '--silent', 'deploy', '--', target, '--auto-approve', '--skip-provider-lock']
      const { code, output } = await who.run(project, 'npm', ...command)
      expect(code, output.slice(-4000)).toBe(0)
      return output
    }

    test('its account is bootstrapped, without a repository: images are in the first account', async () => {
      const output = await deploy(aws, 'bootstrap-444455556666')
      expect(output).toContain('bootstrap-444455556666 in account 444455556666, eu-north-1: to do, in this order')
      const { repositories } = await aws.call(
        'ecr',
        'AmazonEC2ContainerRegistry_V20150921.DescribeRepositories',
        {},
        REGION,
      )
      expect(repositories).toEqual([])
    })

    test('the environment is made in the VPC that is there, by the apply role of its account', async () => {
      const output = await deploy(await sessionOf(aws, 'apply-shop', 'shop'), 'shop')
      expect(output).toMatch(/^shop-service +Apply complete! Resources: \d+ added/m)
      expect(
        (await ec2('DescribeVpcs', { 'Filter.1.Name': 'is-default', 'Filter.1.Value.1': 'false' })).split('<vpcId>'),
      ).toHaveLength(2)
      for (const stack of STACKS) {
        const plan = ['plan', '-input=false', '-detailed-exitcode', '-no-color']
        const { code, output: planned } = await aws.run(
          project,
          'terraform',
          `-chdir=cdktf.out/stacks/${stack}`,
          ...plan,
        )
        expect(code, `${stack}: ${planned.slice(-2000)}`).toBe(0)
      }
      expect([aws.gate.failures, aws.gate.denials]).toEqual([[], []])
    })

    test('its task delivers into the database of the team, by its group and with its secrets', async () => {
      const { stdout } = await aws.run(project, 'terraform', '-chdir=cdktf.out/stacks/shop-service', 'output', '-json')
      const { security_group_all: group } = JSON.parse(stdout) as { security_group_all: { value: string } }
      expect(await waysOut(group.value)).toContain(`${database.port} ${database.groupId}`)
      const credentials = await startTaskRole(await aws.gate.taskCredentials('millrace-shop-all-task'))
      onTestFinished(() => credentials.stop())
      const app = await startTask(aws, 'shop', 'all', credentials.environment, { region: REGION })
      const answer = await send(app.url, { id: 'from-the-task' }, app.key)
      expect([answer.status, await answer.json()]).toEqual([202, { accepted: 1 }])
      const events = () => postgres.query<{ id: string }>('SELECT id FROM events')
      await until(async () => (await events().catch(() => [])).length > 0, 30_000, `the event: ${app.output()}`)
      expect(await events()).toEqual([{ id: 'from-the-task' }])
      expect(aws.gate.denials).toEqual([])
    })

    test('a published simulator of IAM judges all of it the same, and no operation is new', async () => {
      await expectGateAgrees(aws)
    })
  },
)
