/** What the pipeline refuses before it asks AWS anything. What it applies, and when not, is in the deployment tests. */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { temporaryProject } from '../../support/synth.ts'

const ARGS = ['infra/pipeline/main.ts', 'apply', 'dev', '--plan', '20260131T120000Z-0123456789abcdef']

function apply(edits: readonly (readonly [string, string])[]) {
  const { status, stderr } = spawnSync(process.execPath, ARGS, { cwd: temporaryProject(edits), encoding: 'utf8' })
  return { status, stderr }
}

test('it applies nothing for an image that was never released: tasks of it would never start', () => {
  const { status, stderr } = apply([["id: '000000000000'", "id: '111122223333'"]])
  expect(stderr).toMatch(
    /^infra\/config\.ts: dev\.image: no image is released yet: npm run deploy -- dev builds and pushes one/,
  )
  expect(status).toBe(2)
})

test('nor into the account of a fresh clone', () => {
  const { status, stderr } = apply([["'0'.repeat(64)", "'a'.repeat(64)"]])
  expect(stderr).toMatch(/^infra\/config\.ts: account\.id is still a placeholder/)
  expect(status).toBe(2)
})

test('in a workflow it asks GitHub who must approve, and applies nothing where nobody must', async () => {
  const asked: string[] = []
  const server = createServer((request, response) => {
    asked.push(`${request.method} ${request.url}`)
    response.end(JSON.stringify({ protection_rules: [], deployment_branch_policy: null }))
  }).listen(0, '127.0.0.1')
  onTestFinished(() => void server.close())
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const cwd = temporaryProject([
    ["id: '000000000000'", "id: '111122223333'"],
    ["'0'.repeat(64)", "'a'.repeat(64)"],
  ])
  const github = { GITHUB_TOKEN: 'token', GITHUB_REPOSITORY: 'owner/name', GITHUB_API_URL: `http://127.0.0.1:${port}` }
  const env = { ...process.env, ...github, GITHUB_ACTIONS: 'true' }
  const child = spawn(process.execPath, ARGS, { cwd, env, stdio: ['ignore', 'inherit', 'pipe'] })
  let stderr = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
  })
  const [status] = await once(child, 'close')
  expect(stderr).toMatch(
    /^the environment dev of this repository has no required reviewers and no rule for its branches/,
  )
  expect(status).toBe(1)
  expect(asked).toEqual(['GET /repos/owner/name/environments/dev'])
})
