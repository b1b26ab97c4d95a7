import { describe, expect, test } from 'vitest'
import type { Plan } from '../../../infra/pipeline/saved-plan.ts'
import { type PlanDocument, summarise } from '../../../infra/pipeline/summary.ts'

type Change = NonNullable<PlanDocument['resource_changes']>[number]['change']

const plan: Plan = {
  environment: 'dev',
  commit: '0123456789abcdef0123456789abcdef01234567',
  terraformVersion: '1.11.4',
  stacks: [
    { name: 'dev-foundation', textSha256: '', saved: { planSha256: '', lockSha256: '' } },
    { name: 'dev-service', textSha256: '', waitsFor: 'dev-foundation' },
  ],
}

function summaryOf(...changes: (Partial<Change> & { address?: string; mode?: 'managed' | 'data' })[]): string {
  const resource_changes = changes.map(({ address = 'aws_thing.it', mode = 'managed', ...change }) => ({
    address,
    mode,
    change: {
      actions: ['update'],
      before: {},
      after: {},
      after_unknown: {},
      before_sensitive: false,
      after_sensitive: false,
      ...change,
    },
  }))
  return summarise(plan, new Map([['dev-foundation', { resource_changes }]]))
}

test('a table counts what each stack would do, in Terraform’s words', () => {
  const text = summaryOf(
    { actions: ['create'] },
    { actions: ['delete', 'create'], before: { name: 'a' }, after: { name: 'b' } },
    { actions: ['no-op'] },
    { actions: ['read'], mode: 'data' },
  )
  expect(text).toContain('| dev-foundation | 2 to add, 0 to change, 1 to destroy |')
  expect(text).toContain('| dev-service | waits for what dev-foundation gives, then is planned |')
  expect(text).toContain('+ aws_thing.it\n-/+ aws_thing.it\n-/+     name: "a" → "b"')
})

test('a stack without changes is one row and no more', () => {
  const text = summaryOf({ actions: ['no-op'] })
  expect(text).toContain('| dev-foundation | no changes |')
  expect(text).not.toContain('<details>')
})

test('an argument that is known only after the apply says so', () => {
  expect(summaryOf({ before: { arn: 'x' }, after: {}, after_unknown: { arn: true } })).toContain(
    'arn: "x" → (known after apply)',
  )
})

describe('no value that could be a secret is shown', () => {
  const SECRET = 'hunter2'
  test.each<[string, Partial<Change>]>([
    ['marked before', { before: { value: SECRET }, after: { value: 'new' }, before_sensitive: { value: true } }],
    ['marked after', { before: { value: 'old' }, after: { value: SECRET }, after_sensitive: { value: true } }],
    ['all of it marked', { before: { value: 'old' }, after: { value: SECRET }, after_sensitive: true }],
    [
      'marked somewhere inside',
      { before: { block: [] }, after: { block: [{ key: SECRET }] }, after_sensitive: { block: [{ key: true }] } },
    ],
    ...['password', 'secret_string', 'api_key', 'access_key', 'auth_token', 'private_key_pem', 'credentials'].map(
      (name): [string, Partial<Change>] => [`named ${name}`, { before: { [name]: 'old' }, after: { [name]: SECRET } }],
    ),
    ['inside a block or a list', { before: { environment: {} }, after: { environment: { DB: SECRET } } }],
    ['inside a long text', { before: { policy: '' }, after: { policy: `${' '.repeat(80)}${SECRET}` } }],
    ['of a new resource', { actions: ['create'], before: null, after: { value: SECRET } }],
    ['of one that goes', { actions: ['delete'], before: { value: SECRET }, after: null }],
  ])('%s', (_, change) => {
    const text = summaryOf(change)
    expect(text).toContain('aws_thing.it')
    expect(text).not.toContain(SECRET)
  })
})
