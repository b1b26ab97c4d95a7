/** A task of an emulated service, as a process on this machine. */
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { onTestFinished } from 'vitest'
import type { EmulatedAws } from './emulated-aws.ts'
import { until } from './service.ts'
import type { Block } from './synth.ts'

export interface Task {
  readonly url: string
  /** API key, if it has one. */
  readonly key: string
  output(): string
}

interface TaskOptions {
  /** Default: eu-central-1. */
  readonly region?: string
  /** Registers what ends the task. Default: at the end of the test; a test that runs beside others gives its own. */
  readonly atEnd?: (stop: () => void) => void
}

/** Runs the app with exactly what ECS would set for a service, as the emulated ECS says; only addresses are replaced. */
export async function startTask(
  aws: EmulatedAws,
  environmentName: string,
  service: string,
  moved: Record<string, string> = {},
  { region = 'eu-central-1', atEnd = onTestFinished }: TaskOptions = {},
): Promise<Task> {
  const ecs = (action: string, body: object) =>
    aws.call('ecs', `AmazonEC2ContainerServiceV20141113.${action}`, body, region)
  const { services } = await ecs('DescribeServices', { cluster: `millrace-${environmentName}`, services: [service] })
  const [found] = services as unknown as { taskDefinition: string }[]
  const { taskDefinition } = await ecs('DescribeTaskDefinition', { taskDefinition: found?.taskDefinition })
  const { containerDefinitions } = taskDefinition as unknown as { containerDefinitions: Block[] }
  const app = containerDefinitions.find(({ name }) => name === 'app') ?? {}
  const environment: Record<string, string> = {}
  for (const { name, value } of app.environment as { name: string; value: string }[]) environment[name] = value
  const execution =
    String((taskDefinition as unknown as Block).executionRoleArn)
      .split('/')
      .at(-1) ?? ''
  for (const { name, valueFrom } of (app.secrets ?? []) as { name: string; valueFrom: string }[]) {
    environment[name] = await readSecret(aws, execution, valueFrom)
  }
  // A test opens nothing to others, and takes any free port.
  Object.assign(environment, { HOST: '127.0.0.1', PORT: '0', ADMIN_PORT: '0' }, moved)

  const directory = mkdtempSync(join(tmpdir(), 'millrace-task-'))
  const cli = resolve(import.meta.dirname, '../../app/cli.ts')
  const child = spawn(process.execPath, [cli, 'serve'], { cwd: directory, env: environment })
  atEnd(() => {
    child.kill('SIGKILL')
    rmSync(directory, { recursive: true, force: true })
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (more) => (output += more))
  await until(() => child.exitCode !== null || output.includes('ready: '), 30_000, `ready: ${output}`)
  if (child.exitCode !== null) throw new Error(`ended with ${child.exitCode}: ${output}`)
  const [, url = ''] = /ready: send events to (http\S+)/.exec(output) ?? []
  const [, key = ''] = (environment.API_KEYS ?? '').split(':')
  return { url, key, output: () => output }
}

/**
 * Of a secret or a parameter, as ECS reads it to start a task: with the execution role.
 * https://docs.aws.amazon.com/AmazonECS/latest/developerguide/secrets-envvar-secrets-manager.html
 */
async function readSecret(aws: EmulatedAws, role: string, valueFrom: string): Promise<string> {
  const { accessKeyId } = await aws.gate.taskCredentials(role)
  const [, , service, region = '', , kind = '', , jsonKey = ''] = valueFrom.split(':')
  const call = async (signedFor: string, target: string, body: Record<string, unknown>) => {
    const { status, text } = await aws.as(accessKeyId).request(signedFor, { target, body, region })
    if (status !== 200) throw new Error(`${role} cannot read ${valueFrom}: ${text}`)
    return JSON.parse(text)
  }
  if (service === 'ssm') {
    const Names = [kind.replace('parameter', '')]
    const { Parameters } = await call('ssm', 'AmazonSSM.GetParameters', { Names, WithDecryption: true })
    return Parameters[0]?.Value ?? ''
  }
  const SecretId = valueFrom.split(':').slice(0, 7).join(':')
  const { SecretString } = await call('secretsmanager', 'secretsmanager.GetSecretValue', { SecretId })
  return jsonKey === '' ? SecretString : JSON.parse(SecretString)[jsonKey]
}

export function send(url: string, event: object, key?: string): Promise<Response> {
  const headers = { 'content-type': 'application/json', ...(key !== undefined && { authorization: `Bearer ${key}` }) }
  return fetch(url, { method: 'POST', headers, body: JSON.stringify({ data: 'Event 1', ...event }) })
}
