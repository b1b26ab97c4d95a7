import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { callerCidr } from '../../../infra/deployment/caller.ts'
import { synth, temporaryProject } from '../../support/synth.ts'

/** A service that answers like that. @returns its URL. */
async function answering(status: number, text: string): Promise<string> {
  const server = createServer((_, response) => response.writeHead(status).end(text))
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  onTestFinished(() => void server.close())
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

test('the address is a range of one', async () => {
  expect(await callerCidr(await answering(200, '203.0.113.7\n'))).toBe('203.0.113.7/32')
})

test.each([
  ['an answer that is no IPv4 address', 200, '2001:db8::7', /gave no IPv4 address \(2001:db8::7\): write the range/],
  ['an error', 503, '203.0.113.7', /gave no IPv4 address \(status 503\)/],
  ['an answer without end', 200, '7'.repeat(1_000_000), /gave no IPv4 address \(7{64}\)/],
])('%s is refused, with what to write', async (_, status, text, message) => {
  await expect(callerCidr(await answering(status, text))).rejects.toThrow(message)
})

test('nobody there: the reason, and what to write', async () => {
  const server = createServer()
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  const { port } = server.address() as AddressInfo
  await new Promise((closed) => server.close(closed))
  const url = `http://127.0.0.1:${port}`
  await expect(callerCidr(url)).rejects.toThrow(/ECONNREFUSED 127\.0\.0\.1:\d+\): write the range/)
})

test('over the internet only by HTTPS', async () => {
  for (const url of ['http://checkip.amazonaws.com', 'checkip.amazonaws.com', 'file:///etc/passwd']) {
    await expect(callerCidr(url)).rejects.toThrow(/CALLER_ADDRESS_URL: .* is not an https:\/\/ URL/)
  }
})

test('in a stack it is a variable without a default: nobody lets in the address of another machine', () => {
  const project = temporaryProject([["    name: 'dev',\n", "    name: 'dev',\n    allowedCidrs: 'me',\n"]])
  const { code, stderr, stacks } = synth(project)
  expect([code, stderr]).toEqual([0, ''])
  const { json, resource } = stacks.get('dev-service') ?? {}
  expect(json?.variable).toEqual({
    caller_cidr: { type: 'string', nullable: false, description: expect.stringContaining('TF_VAR_caller_cidr=') },
  })
  const rules = Object.values(resource?.aws_vpc_security_group_ingress_rule ?? {})
  expect(rules).toContainEqual(expect.objectContaining({ from_port: 80, cidr_ipv4: `\${var.caller_cidr}` }))
  expect(JSON.stringify(json?.output)).toContain(`reachable from \${var.caller_cidr}`)
})
