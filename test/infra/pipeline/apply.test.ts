/** What the pipeline refuses before it asks AWS anything. What it applies, and when not, is in the deployment tests. */
import { spawnSync } from 'node:child_process'
import { expect, test } from 'vitest'
import { temporaryProject } from '../../support/synth.ts'

function apply(edits: readonly (readonly [string, string])[]) {
  const args = ['infra/pipeline/main.ts', 'apply', 'dev', '--plan', '20260131T120000Z-0123456789abcdef']
  const { status, stderr } = spawnSync(process.execPath, args, { cwd: temporaryProject(edits), encoding: 'utf8' })
  return { status, stderr }
}

test('it applies nothing for an image that was never released: tasks of it would never start', () => {
  const { status, stderr } = apply([["id: '000000000000'", "id: '111122223333'"]])
  expect(stderr).toMatch(/^infra\/config\.ts: dev\.image: no image is released yet: push one/)
  expect(status).toBe(2)
})

test('nor into the account of a fresh clone', () => {
  const { status, stderr } = apply([["'0'.repeat(64)", "'a'.repeat(64)"]])
  expect(stderr).toMatch(/^infra\/config\.ts: account\.id is still a placeholder/)
  expect(status).toBe(2)
})
