/** A real Prometheus on a free loopback port, for one test. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { prometheusArguments, prometheusYaml } from '../../../../infra/monitoring/local-prometheus.ts'
import { rulesYaml } from '../../../../infra/monitoring/rules.ts'
import { until } from '../../../support/service.ts'
import { temporaryDirectory } from '../../../support/temporary.ts'
import { PROMETHEUS } from './programs.ts'

export interface Sample {
  readonly metric: Readonly<Record<string, string>>
  readonly value: readonly [number, string]
}

/** Scrapes `target` every `scrapeMs` and evaluates the rules every second. */
export async function startPrometheus(target: string, scrapeMs: number) {
  const directory = temporaryDirectory()
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const configFile = join(directory, 'prometheus.yaml')
  writeFileSync(join(directory, 'rules.yaml'), rulesYaml({ intervalSeconds: 1 }))
  writeFileSync(configFile, prometheusYaml({ targets: [target], rulesFile: 'rules.yaml', scrapeMs }))
  const child = spawn(PROMETHEUS.path, prometheusArguments({ configFile, directory, port }), {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  const exited = once(child, 'exit')
  onTestFinished(async () => {
    child.kill('SIGKILL')
    await exited
  })
  let output = ''
  child.stderr.setEncoding('utf8').on('data', (text) => {
    output += text
  })

  const get = async (path: string, parameters: Record<string, string> = {}) => {
    const response = await fetch(`${url}/api/v1/${path}?${new URLSearchParams(parameters)}`)
    const answer = (await response.json()) as { status: string; error?: string; data: unknown }
    if (answer.status !== 'success') throw new Error(`${path} ${JSON.stringify(parameters)}: ${answer.error}`)
    return answer.data
  }
  const ready = () =>
    fetch(`${url}/-/ready`).then(
      ({ ok }) => ok,
      () => false,
    )
  await until(ready, 30_000, `Prometheus is ready: ${output}`)
  return {
    url,
    get,
    query: async (expr: string) => ((await get('query', { query: expr })) as { result: Sample[] }).result,
  }
}

export async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as { port: number }
  await new Promise((resolve) => server.close(resolve))
  return port
}
