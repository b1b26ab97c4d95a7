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

/**
 * Runs the app with exactly what ECS would set for a service, as the emulated ECS says; only addresses are replaced.
 * @param atEnd of the test; one that runs beside others gives its own.
 */
export async function startTask(
  aws: EmulatedAws,
  environmentName: string,
  service: string,
  moved: Record<string, string> = {},
  atEnd: (stop: () => void) => void = onTestFinished,
): Promise<Task> {
  const ecs = (action: string, body: object) => aws.call('ecs', `AmazonEC2ContainerServiceV20141113.${action}`, body)
  const { services } = await ecs('DescribeServices', { cluster: `millrace-${environmentName}`, services: [service] })
  const [found] = services as unknown as { taskDefinition: string }[]
  const { taskDefinition } = await ecs('DescribeTaskDefinition', { taskDefinition: found?.taskDefinition })
  const { containerDefinitions } = taskDefinition as unknown as { containerDefinitions: Block[] }
  const app = containerDefinitions.find(({ name }) => name === 'app') ?? {}
  const environment: Record<string, string> = {}
  for (const { name, value } of app.environment as { name: string; value: string }[]) environment[name] = value
  for (const { name, valueFrom } of (app.secrets ?? []) as { name: string; valueFrom: string }[]) {
    const secret = await aws.call('secretsmanager', 'secretsmanager.GetSecretValue', { SecretId: valueFrom })
    environment[name] = secret.SecretString ?? ''
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

export function send(url: string, event: object, key?: string): Promise<Response> {
  const headers = { 'content-type': 'application/json', ...(key !== undefined && { authorization: `Bearer ${key}` }) }
  return fetch(url, { method: 'POST', headers, body: JSON.stringify({ data: 'Event 1', ...event }) })
}
