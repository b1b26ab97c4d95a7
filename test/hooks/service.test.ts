/** A hook of a config file, in the real service and in its threads. */
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { sign } from '@octokit/webhooks-methods'
import { expect, test } from 'vitest'
import { MountedSecret } from '../support/certificates.ts'
import { millrace } from '../support/millrace.ts'
import { scrape, startService, until } from '../support/service.ts'
import { temporaryDirectory } from '../support/temporary.ts'

const SECRET = 'a-secret-of-16-bytes'

function directoryWithHook(): string {
  const directory = temporaryDirectory()
  const hook = "{ provider: 'github', secretVariables: ['GITHUB_HOOK_SECRET'] }"
  writeFileSync(join(directory, 'millrace.config.mjs'), `export default { hooks: { github: ${hook} } }\n`)
  return directory
}

test.each(['1', '2'])(
  'with WORKERS=%s its events are delivered, and counted by its name',
  async (WORKERS) => {
    const environment = { WORKERS, GITHUB_HOOK_SECRET: SECRET }
    const service = await startService(directoryWithHook(), environment, { readyWithinMs: 30_000 })
    const send = async (secret: string) => {
      const headers = { 'x-hub-signature-256': await sign(secret, '{"zen":1}'), 'x-github-event': 'ping' }
      return (await fetch(`${service.url}/v1/hooks/github`, { method: 'POST', headers, body: '{"zen":1}' })).status
    }
    expect([await send(SECRET), await send(`${SECRET}.`)]).toEqual([202, 401])
    await until(
      async () => (await scrape(service)).get('millrace_events_delivered_total{sink="file"}') === 1,
      10_000,
      'delivered',
    )
    const counts = await scrape(service)
    const of = (result: string) => counts.get(`millrace_hook_requests_total{hook="github",result="${result}"}`)
    expect(['stored', 'challenged', 'unverified', 'refused'].map(of)).toEqual([1, 0, 1, 0])
    expect(service.output()).not.toContain(SECRET)
  },
  60_000,
)

test.each(['1', '2'])(
  'with WORKERS=%s secrets in files are replaced without a restart; what is not valid changes nothing',
  async (WORKERS) => {
    const [old, next] = ['the-old-secret-16', 'the-new-secret-16']
    const secret = new MountedSecret({ old, next: old })
    const directory = temporaryDirectory()
    const paths = JSON.stringify([secret.path('old'), secret.path('next')])
    const hooks = `{ github: { provider: 'github', secretFiles: ${paths} } }`
    writeFileSync(join(directory, 'millrace.config.mjs'), `export default { hooks: ${hooks} }\n`)
    const service = await startService(directory, { WORKERS }, { readyWithinMs: 30_000 })
    const statuses = () =>
      Promise.all(
        [old, next].map(async (key) => {
          const headers = { 'x-hub-signature-256': await sign(key, '{}'), 'x-github-event': 'ping' }
          return (await fetch(`${service.url}/v1/hooks/github`, { method: 'POST', headers, body: '{}' })).status
        }),
      )
    const become = (expected: string) => until(async () => String(await statuses()) === expected, 10_000, expected)
    const says = (text: string) => until(() => service.output().includes(text), 10_000, text)
    expect(await statuses()).toEqual([202, 401])
    secret.replace({ old, next })
    await says('new secrets of webhooks are in use: github')
    await become('202,202')
    secret.replace({ old, next: 'short' })
    await says(
      'holds 5 bytes, a secret needs 16: choose a longer one; the secrets of all hooks from before stay in use',
    )
    expect(await statuses()).toEqual([202, 202])
    secret.replace({ old: next, next })
    await become('401,202')
    rmSync(secret.path('old'))
    await says('cannot read the file of a secret')
    expect(await statuses()).toEqual([401, 202])
    expect(service.output()).not.toMatch(/the-(old|new)-secret/)
  },
  60_000,
)

test('a start without its secret ends with a line that says which variable to set', async () => {
  const { code, stderr } = await millrace(['serve'], { cwd: directoryWithHook(), env: { PORT: '0', ADMIN_PORT: '0' } })
  expect([code, stderr]).toEqual([
    2,
    'millrace: millrace.config.mjs: hooks.github: the variable GITHUB_HOOK_SECRET is not set: put the secret of the sender there\n',
  ])
})

test('`config` shows it and where its secret is, without the secret', async () => {
  const { code, stdout } = await millrace(['config'], { cwd: directoryWithHook(), env: { GITHUB_HOOK_SECRET: SECRET } })
  expect(code).toBe(0)
  expect(stdout.split('\n')).toContain('file         hook github: github, secret in GITHUB_HOOK_SECRET')
  expect(stdout).not.toContain(SECRET)
})
