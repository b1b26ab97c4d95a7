import { readdirSync, readFileSync } from 'node:fs'
import { homedir, hostname } from 'node:os'
import { join, resolve } from 'node:path'
import { expect, test } from 'vitest'
import { synth, temporaryProject } from '../support/synth.ts'

const { code, stderr, stacks } = synth()

test('all stacks of all environments', () => {
  expect([code, stderr]).toEqual([0, ''])
  const expected = ['bootstrap']
  for (const environment of ['dev', 'staging', 'prod']) {
    for (const stack of ['foundation', 'monitoring', 'service']) expected.push(`${environment}-${stack}`)
  }
  expect([...stacks.keys()].sort()).toEqual(expected.sort())
})

test('two synths are the same, byte for byte', () => {
  const again = synth()
  for (const [name, { text }] of stacks) expect(again.stacks.get(name)?.text === text, name).toBe(true)
})

test('nothing of the machine that synthesised is in the output', () => {
  for (const { name, text } of stacks.values()) {
    for (const trace of [resolve(import.meta.dirname, '../..'), homedir(), hostname()]) {
      if (trace.length > 3) expect(text.includes(trace), `${name} has ${trace}`).toBe(false)
    }
  }
})

test('the account is named in config.ts only', () => {
  const infra = resolve(import.meta.dirname, '../../infra')
  for (const path of readdirSync(infra, { recursive: true, encoding: 'utf8' })) {
    if (!path.endsWith('.ts') || path === 'config.ts') continue
    expect(readFileSync(join(infra, path), 'utf8'), path).not.toMatch(/\b\d{12}\b/)
  }
  const elsewhere = temporaryProject([
    ['000000000000', '111122223333'],
    ["'0'.repeat(64)", "'f'.repeat(64)"],
  ])
  for (const { name, text } of synth(elsewhere).stacks.values()) expect(text.includes('000000000000'), name).toBe(false)
})

test('what a stack consists of', () => {
  const contents = Object.fromEntries(
    [...stacks.values()].map(({ name, resource }) => [
      name,
      Object.entries(resource)
        .map(([type, named]) => `${Object.keys(named).length} × ${type}`)
        .sort((a, b) => (a.replace(/^\d+ × /, '') < b.replace(/^\d+ × /, '') ? -1 : 1)),
    ]),
  )
  expect(contents).toMatchSnapshot()
})

test('with a domain: HTTPS for the world, a certificate, a name; nothing listens for plain HTTP', () => {
  const service = stacks.get('prod-service')
  const listeners = Object.values(service?.resource.aws_lb_listener ?? {})
  const https = { port: 443, protocol: 'HTTPS', ssl_policy: expect.stringMatching(/TLS13-1-2/) }
  expect(listeners).toEqual([expect.objectContaining(https)])
  expect(service?.json.output).toMatchObject({ url: { value: 'https://events.example.com' } })
})

test('without a domain the output says so, and nobody gets in who is not named', () => {
  const service = stacks.get('dev-service')
  expect(JSON.stringify(service?.json.output)).toContain('No domain is set, so there is no certificate')
  const open = JSON.stringify(service?.resource.aws_vpc_security_group_ingress_rule)
  expect(open).not.toContain('0.0.0.0/0')
})
