/**
 * The first deployment by its one command, into an account where nothing is. It is ended twice by a signal and run again: by an
 * administrator until bootstrap is there, then with the rights of the apply role. The image is built by what builds images here, and
 * pushed into a registry of the test under the name that the repository has in AWS. Its Dockerfile is a small one, without a base.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { archivedEvent } from '../support/archive.ts'
import { Containers } from '../support/containers.ts'
import { type EmulatedAws, missing, startEmulatedAws } from '../support/emulated-aws.ts'
import { expectGateAgrees } from '../support/iam/agrees.ts'
import { type ImageRegistry, startImageRegistry } from '../support/image-registry.ts'
import { startTaskRole } from '../support/kafka-iam.ts'
import { sessionOf } from '../support/pipeline.ts'
import { until } from '../support/service.ts'
import { editedProject } from '../support/synth.ts'
import { startTask } from '../support/task.ts'

const ACCOUNT = '123456789012'
const REGION = 'eu-central-1'
const STACKS = ['bootstrap', 'dev-foundation', 'dev-monitoring', 'dev-service']
const CALLER = '203.0.113.7'
const MINUTES_MS = 60_000
const reason =
  missing() ?? (spawnSync('buildah', ['--version']).error ? 'no buildah: apt-get install buildah' : undefined)

let aws: EmulatedAws
let project: string
let registry: ImageRegistry
let containers: Containers
/** What the command is told beside what AWS is, and what has the last word. */
let surroundings: NodeJS.ProcessEnv
let found: NodeJS.ProcessEnv
const checkIp = createServer((_, response) => response.end(`${CALLER}\n`))

interface Running {
  readonly child: ChildProcess
  output(): string
  readonly ended: Promise<number>
}

/** `npm run deploy -- dev`, in a process group of its own, as a terminal has it. */
function deploy(environment: NodeJS.ProcessEnv): Running {
  const command = ['run', '--silent', 'deploy', '--', 'dev', '--auto-approve']
  const child = spawn('npm', command, {
    cwd: project,
    env: { ...surroundings, ...environment, ...found },
    detached: true,
  })
  onTestFinished(() => {
    if (child.exitCode === null && child.signalCode === null && child.pid !== undefined)
      process.kill(-child.pid, 'SIGKILL')
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text) => (output += text))
  return { child, output: () => output, ended: once(child, 'close').then(([code]) => code ?? -1) }
}

/** Ctrl-C, or the end of a job, at a moment. @returns exit code and output. */
async function endedAt(
  running: Running,
  moment: (output: string) => boolean,
  signal: NodeJS.Signals,
): Promise<[code: number, output: string]> {
  const { child, output, ended } = running
  await until(() => child.exitCode !== null || moment(output()), 5 * MINUTES_MS, 'the moment to end it')
  expect(child.exitCode, output()).toBeNull()
  process.kill(-(child.pid ?? 0), signal)
  return [await ended, output()]
}

function terraform(stack: string, ...args: string[]) {
  const caller = `TF_VAR_caller_cidr=${CALLER}/32`
  return aws.run(project, 'env', caller, 'terraform', `-chdir=cdktf.out/stacks/${stack}`, ...args)
}

/** What a signal has kept from being made would be without its state: nothing in AWS that no state knows. */
async function namesOfRoles(): Promise<string[]> {
  const { text } = await aws.as('emulated').request('iam', { body: { Action: 'ListRoles', Version: '2010-05-08' } })
  return [...text.matchAll(/<RoleName>([^<]+)</g)].map(([, name = '']) => name)
}

describe.skipIf(reason)(`the first deployment${reason ? ` (left out: ${reason})` : ''}`, () => {
  beforeAll(async () => {
    aws = await startEmulatedAws()
    registry = await startImageRegistry(`${ACCOUNT}-auth-token`)
    await new Promise<void>((done) => checkIp.listen(0, '127.0.0.1', done))
    containers = new Containers()
    project = editedProject([
      ['000000000000', ACCOUNT],
      ['protectState: true', 'protectState: false'],
      ["    name: 'dev',\n", "    name: 'dev',\n    allowedCidrs: 'me',\n"],
    ])
    writeFileSync(
      join(project, 'Dockerfile'),
      'FROM scratch\nCOPY package.json /\nARG VERSION\nLABEL version=$VERSION\n',
    )
    surroundings = registry.environment(`${ACCOUNT}.dkr.ecr.${REGION}.amazonaws.com`, containers)
    found = {
      PATH: `${withoutDocker()}:${process.env.PATH}`,
      CALLER_ADDRESS_URL: `http://127.0.0.1:${(checkIp.address() as AddressInfo).port}`,
    }
  }, 180_000)
  afterAll(async () => {
    checkIp.close()
    registry?.stop()
    await containers?.remove()
    await aws?.stop()
    if (project) rmSync(project, { recursive: true, force: true })
  })

  test('ended while it makes bootstrap: what AWS has begun is in a state, which is in a file', async () => {
    const hasKey = () => aws.calls().some((call) => call.includes('TrentService.CreateKey'))
    const [code, output] = await endedAt(deploy(aws.environment), hasKey, 'SIGTERM')
    expect(output).toMatch(
      /1\. bootstrap[\s\S]*2\. image +built with buildah, [\s\S]*5\. dev-service[\s\S]*about \$\d+ a month/,
    )
    expect(output).toContain(`allowedCidrs: 'me' is ${CALLER}/32`)
    expect(output).toContain('Stopped. The same command goes on from here.')
    expect(code).not.toBe(0)
    expect(existsSync(join(project, 'terraform.bootstrap.tfstate'))).toBe(true)
  })

  test('run again: the state of bootstrap moves, the image is pushed; ended in the network', async () => {
    const makesNetwork = (output: string) => output.includes('AWS makes the NAT gateway: usually')
    const [code, output] = await endedAt(deploy(aws.environment), makesNetwork, 'SIGINT')
    expect(output).toMatch(
      /bootstrap +Apply complete! Resources: \d+ added, 0 changed, 0 destroyed\. Its state is in the bucket\./,
    )
    expect(code, output.slice(-2000)).not.toBe(0)
    expect(existsSync(join(project, 'terraform.bootstrap.tfstate'))).toBe(false)
    const [image, ...more] = registry.pushed
    expect([image?.config.architecture, image?.config.config?.Labels?.version, more]).toEqual(['arm64', '0.1.0', []])
    expect(readFileSync(join(project, 'infra/config.ts'), 'utf8')).toContain(`digest: '${image?.digest}'`)
  })

  test('run again with the rights of the apply role: only what is left, up to the first event', async () => {
    const session = await sessionOf(aws, 'apply-dev', 'dev')
    const { ended, output } = deploy(session.environment)
    expect(await ended, output().slice(-4000)).toBe(0)
    expect(registry.pushed).toHaveLength(1)
    expect(output()).not.toContain('── bootstrap')
    for (const stack of STACKS.slice(1)) {
      expect(output()).toMatch(new RegExp(`^${stack} +Apply complete! Resources: \\d+ added`, 'm'))
    }
    expect(output()).toMatch(
      /AWS makes the load balancer: usually 2 to 4 minutes\n[\s\S]*load balancer: done after \d+ s/,
    )
    expect([aws.gate.failures, aws.gate.denials]).toEqual([[], []])

    const { LoadBalancers } = await balancers()
    expect(output()).toContain(`http://${LoadBalancers}`)
    const credentials = await startTaskRole(await aws.gate.taskCredentials('millrace-dev-all-task'))
    onTestFinished(() => credentials.stop())
    const archive = { S3_SINK_ENDPOINT: aws.gate.url, S3_SINK_ROLL_MS: '1000' }
    const app = await startTask(aws, 'dev', 'all', { ...archive, ...credentials.environment })
    const [, command = ''] = /Next: +(curl .*)/.exec(output()) ?? []
    expect(await runCurl(command, LoadBalancers, app.url)).toMatch(/^HTTP\/1\.1 202 [\s\S]*\{"accepted":1\}$/)
    const bucket = `millrace-dev-archive-${ACCOUNT}-${REGION}`
    const archived = await archivedEvent({ endpoint: aws.gate.url, region: REGION, bucket }, app.output)
    expect(archived).toMatchObject({ event: { id: '1', data: 'Event 1' } })
  })

  test('nothing is left to do, and nothing was made twice', async () => {
    for (const stack of STACKS) {
      const { code, output } = await terraform(stack, 'plan', '-input=false', '-detailed-exitcode', '-no-color')
      expect(code, `${stack}: ${output.slice(-2000)}`).toBe(0)
    }
    const roles = await namesOfRoles()
    expect(roles).toContain('AWSServiceRoleForECS')
    expect(new Set(roles).size).toBe(roles.length)
  })

  test('a published simulator of IAM judges all of it the same, and no operation is new', async () => {
    await expectGateAgrees(aws)
  })
})

/** A directory for the PATH with a docker whose daemon does not answer and a podman that fails, so that buildah builds. */
function withoutDocker(): string {
  const directory = mkdtempSync(join(containers.directory, 'bin-'))
  for (const name of ['docker', 'podman']) writeFileSync(join(directory, name), '#!/bin/sh\nexit 1\n', { mode: 0o755 })
  return directory
}

async function balancers(): Promise<{ LoadBalancers: string }> {
  const body = { Action: 'DescribeLoadBalancers', Version: '2015-12-01' }
  const { text } = await aws.as('emulated').request('elasticloadbalancing', { body })
  return { LoadBalancers: /<DNSName>([^<]+)</.exec(text)?.[1] ?? '' }
}

/** The printed command as a shell runs it: the load balancer is the task, and `aws` asks the emulated AWS. */
async function runCurl(command: string, balancer: string, url: string): Promise<string> {
  const [, secret = ''] = /--secret-id (\S+)/.exec(command) ?? []
  const { SecretString = '' } = await aws.call('secretsmanager', 'secretsmanager.GetSecretValue', { SecretId: secret })
  const directory = mkdtempSync(join(tmpdir(), 'millrace-curl-'))
  onTestFinished(() => rmSync(directory, { recursive: true }))
  writeFileSync(join(directory, 'aws'), `#!/bin/sh\necho '${SecretString}'\n`, { mode: 0o755 })
  expect(readdirSync(directory)).toEqual(['aws'])
  const { stdout } = spawnSync('sh', ['-c', command.replace(`http://${balancer}`, url.replace('/v1/events', ''))], {
    encoding: 'utf8',
    env: { ...process.env, PATH: `${directory}:${process.env.PATH}` },
  })
  return stdout
}
