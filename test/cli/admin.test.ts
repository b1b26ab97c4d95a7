/** Commands that ask the admin listener, when something else answers, or nothing does. */
import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { describe, expect, onTestFinished, test } from 'vitest'
import { localUrl } from '../../app/cli/address.ts'
import { askAdmin } from '../../app/cli/admin.ts'
import { millrace } from '../support/millrace.ts'

async function answering(answer: (response: ServerResponse, url: string) => void): Promise<string> {
  const server = createServer((request, response) => answer(response, request.url ?? '')).listen(0, '127.0.0.1')
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  await once(server, 'listening')
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

const NASTY = '\u001b[2J\u009b31m\u202e'

describe.each([['list'], ['replay']])('dlq %s', (command) => {
  test.each([
    ['HTML', 200, `<!doctype html>${NASTY}`],
    ['a page that is not there', 404, '<html>'],
    ['a JSON of something else', 200, '{"ok":true}'],
    ['a list', 200, '[]'],
    ['no JSON object', 200, 'null'],
    ['nothing', 204, ''],
    ['a problem', 403, JSON.stringify({ detail: `no${NASTY}` })],
  ])('%s is said in one line, with the address, exit code 1', async (_, status, body) => {
    const url = await answering((response) => void response.writeHead(status).end(body))
    const { code, stdout, stderr } = await millrace(['dlq', command, '--admin', `${url}/behind/`])
    expect([code, stdout]).toEqual([1, ''])
    expect(stderr).toMatch(new RegExp(`^millrace: ${url}/behind/status [^\n]+\n$`))
    for (const character of NASTY) if (!/[\x20-\x7e]/.test(character)) expect(stderr).not.toContain(character)
  })
})

test('letters of a service do nothing to the terminal, and its sinks keep their names', async () => {
  const asked: string[] = []
  const url = await answering((response, path) => {
    asked.push(path)
    const letters = [
      { event: { source: NASTY, id: '1' }, offset: 1, attempts: 1, reason: NASTY, failedAt: NASTY },
      7,
      null,
    ]
    response.end(JSON.stringify(path === '/status' ? { sinks: [{ sink: 'a b', deadLettersPending: 1 }] } : letters))
  })
  const { code, stdout } = await millrace(['dlq', 'list', '--admin', url])
  expect(code).toBe(0)
  expect(stdout.trimEnd().split('\n').length).toBe(3)
  for (const character of NASTY) if (!/[\x20-\x7e]/.test(character)) expect(stdout).not.toContain(character)
  expect(asked).toEqual(['/status', '/dead-letters/a%20b?limit=100'])
})

test('who never answers is given up in time', async () => {
  const url = await answering(() => undefined)
  await expect(askAdmin(url, '/status', 'GET', 200)).rejects.toThrow(/no service answers on .* \(.*timeout\)/)
})

test.each([
  ['127.0.0.1', 'http://127.0.0.1:1'],
  ['0.0.0.0', 'http://127.0.0.1:1'],
  ['::', 'http://[::1]:1'],
  ['::1', 'http://[::1]:1'],
  ['fe80::1', 'http://[fe80::1]:1'],
  ['millrace.internal', 'http://millrace.internal:1'],
])('a listener on %s is reached at %s', (host, url) => {
  expect(localUrl(host, '1')).toBe(url)
})
