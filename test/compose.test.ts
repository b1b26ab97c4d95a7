/** compose.yaml, by its specification and by what the service takes. It is not started here: that needs Docker. */
import { existsSync, readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { DCLinter } from 'dclint'
import { describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { loadConfig, VARIABLES } from '../app/config.ts'
import { CLOSE_MARGIN_MS } from '../app/main.ts'
import { dockerfileEnvironment } from './support/dockerfile.ts'

interface ComposeService {
  readonly image: string
  readonly build?: string
  readonly profiles?: readonly string[]
  readonly environment?: Readonly<Record<string, string>>
  readonly ports?: readonly string[]
  readonly volumes?: readonly string[]
  readonly [key: string]: unknown
}

const ROOT = resolve(import.meta.dirname, '..')
const FILE = resolve(ROOT, 'compose.yaml')
const { services, volumes } = parse(readFileSync(FILE, 'utf8'), { merge: true }) as {
  services: Readonly<Record<string, ComposeService>>
  volumes: Readonly<Record<string, unknown>>
}
const app = services.app as ComposeService
const all = Object.entries(services)

/** As Compose fills in `${NAME:-default}`. */
function fillIn(values: Readonly<Record<string, string>>, environment: Readonly<Record<string, string>>) {
  const filled = Object.entries(values).map(([name, value]) => [
    name,
    value.replaceAll(/\$\{(\w+):-([^}]*)\}/g, (_, given: string, fallback: string) => environment[given] || fallback),
  ])
  return Object.fromEntries(filled) as Record<string, string>
}

test('it is valid by the Compose specification', () => {
  const [result] = new DCLinter({ rules: {}, quiet: true, debug: false, exclude: [] }).lintFiles([FILE], false)
  expect(result?.messages.filter(({ type }: { type: string }) => type === 'error')).toEqual([])
})

describe('the service', () => {
  const start = (environment: Record<string, string> = {}) =>
    loadConfig({ ...dockerfileEnvironment(), ...fillIn(app.environment ?? {}, environment) })

  test('is given only variables that it has, and starts with them', () => {
    const names = Object.keys(app.environment ?? {})
    expect(names.length).toBeGreaterThan(0)
    expect(names.filter((name) => !(name in VARIABLES))).toEqual([])
    expect(start()).toMatchObject({ HOST: '0.0.0.0', ADMIN_HOST: '0.0.0.0', LOG_LEVEL: 'info' })
  })

  test('takes keys and a token from the shell, each by its own name', () => {
    const config = start({ API_KEYS: 'me:a-key-of-16-letters', ADMIN_TOKEN: 'token' })
    expect([...config.apiKeys.keys(), config.ADMIN_TOKEN]).toEqual(['me', 'token'])
  })

  test('starts without being asked for, from the Dockerfile here, and can write its volume only', () => {
    expect(app).toMatchObject({
      build: '.',
      read_only: true,
      cap_drop: ['ALL'],
      security_opt: ['no-new-privileges:true'],
      volumes: ['data:/app/data'],
    })
    expect(all.filter(([, { profiles }]) => profiles === undefined).map(([name]) => name)).toEqual(['app'])
  })

  test('is not killed before it has finished what is begun', () => {
    const { SHUTDOWN_GRACE_MS, SHUTDOWN_DRAIN_MS } = start()
    const [, seconds] = /^(\d+)s$/.exec(String(app.stop_grace_period)) ?? []
    expect(Number(seconds) * 1000).toBeGreaterThan(SHUTDOWN_GRACE_MS + SHUTDOWN_DRAIN_MS + CLOSE_MARGIN_MS)
  })
})

test('ports are open to this machine only, and no two services want the same', () => {
  const ports = all.flatMap(([, { ports = [] }]) => ports)
  for (const port of ports) expect(port).toMatch(/^127\.0\.0\.1:\d+:\d+$/)
  expect(new Set(ports.map((port) => port.split(':')[1])).size).toBe(ports.length)
  for (const [name, { network_mode: network }] of all) expect(network, name).toBeUndefined()
})

test('images that are not built here have an exact version', () => {
  const pulled = all.filter(([, { build }]) => build === undefined)
  expect(pulled.map(([name]) => name).sort()).toEqual(['grafana', 'kafka', 'postgres', 'prometheus'])
  for (const [name, { image }] of pulled) expect(image, name).toMatch(/:v?\d+\.\d+(\.\d+)?$/)
})

test('what is mounted exists: files that can only be read, volumes that are declared', () => {
  const mounts = all.flatMap(([, { volumes = [] }]) => volumes)
  for (const [source = '', , mode] of mounts.map((mount) => mount.split(':'))) {
    if (!source.startsWith('.')) expect(Object.keys(volumes)).toContain(source)
    else expect([existsSync(resolve(ROOT, source)), mode], source).toEqual([true, 'ro'])
  }
})

test('Grafana asks Prometheus, which scrapes the service, each by its name here', () => {
  const at = (path: string) => parse(readFileSync(resolve(ROOT, 'infra/monitoring', path), 'utf8'))
  const [source] = at('grafana/provisioning/datasources/prometheus.yaml').datasources
  expect(services[new URL(source.url).hostname]?.ports).toEqual([`127.0.0.1:9090:${new URL(source.url).port}`])
  const { targets } = at('prometheus/prometheus.yaml').scrape_configs[0].static_configs[0]
  expect(targets).toEqual([`app:${VARIABLES.ADMIN_PORT?.default}`])
})
