/** Environments of any name, in accounts and regions of their own. */
import { rmSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import type { Statement } from '../../infra/policy.ts'
import { type Block, editedProject, OTHER_ACCOUNT, resourcesOf, synth } from '../support/synth.ts'

const project = editedProject([
  ["id: '000000000000'", "id: '111122223333'"],
  ["name: 'dev',", `name: 'sandbox', ${OTHER_ACCOUNT}`],
  ["deploys: ['dev']", "deploys: ['sandbox', 'live2']"],
  ["name: 'staging',", `name: 'test', region: 'eu-west-1', ${OTHER_ACCOUNT}`],
  ["name: 'prod',", "name: 'live2',"],
])
const { code, stderr, stacks } = synth(project)
rmSync(project, { recursive: true, force: true })
const stackOf = (name: string) => [...stacks.values()].filter((stack) => stack.name === name)
const policyOf = (text: unknown): readonly Statement[] => JSON.parse(String(text)).Statement

test('each environment has its stacks, each account its bootstrap', () => {
  expect([code, stderr]).toEqual([0, ''])
  expect([...stacks.keys()].sort()).toEqual(
    [
      ...['bootstrap', 'bootstrap-444455556666'],
      ...['sandbox', 'test', 'live2'].flatMap((name) =>
        ['foundation', 'monitoring', 'service'].map((part) => `${name}-${part}`),
      ),
    ].sort(),
  )
})

test('a stack is in the account and region of its environment; its state is in its account', () => {
  const placeOf = (name: string) => {
    const { provider, terraform } = (stacks.get(name)?.json ?? {
      provider: { aws: [] },
      terraform: { backend: {} },
    }) as {
      provider: { aws: Block[] }
      terraform: { backend: { s3?: Block } }
    }
    const [aws] = provider.aws
    const { s3 } = terraform.backend
    return [aws?.region, aws?.allowed_account_ids, s3?.bucket, s3?.region]
  }
  const state = 'millrace-state-444455556666-eu-north-1'
  expect(placeOf('sandbox-foundation')).toEqual(['eu-north-1', ['444455556666'], state, 'eu-north-1'])
  expect(placeOf('test-service')).toEqual(['eu-west-1', ['444455556666'], state, 'eu-north-1'])
  expect(placeOf('live2-monitoring').slice(0, 3)).toEqual([
    'eu-central-1',
    ['111122223333'],
    'millrace-state-111122223333-eu-central-1',
  ])
  expect(placeOf('bootstrap-444455556666').slice(0, 3)).toEqual([
    'eu-north-1',
    ['444455556666'],
    'millrace-state-444455556666-eu-north-1',
  ])
})

test('nothing of an environment names the other account, but its image', () => {
  for (const name of ['sandbox', 'test']) {
    for (const part of ['foundation', 'monitoring', 'service']) {
      const text = stacks.get(`${name}-${part}`)?.text ?? '111122223333'
      const found = text.match(/.{0,40}111122223333.{0,60}/g) ?? []
      for (const each of found)
        expect(each).toMatch(/111122223333\.dkr\.ecr\.|arn:aws:ecr:eu-central-1:111122223333:repository\/millrace/)
      if (part === 'service') expect(found.length).toBeGreaterThan(0)
    }
  }
})

describe('images', () => {
  test('are in the first account, and the others may pull, not push', () => {
    const [found, ...others] = resourcesOf(stacks.values(), 'aws_ecr_repository_policy')
    expect([found?.at.split(':')[0], others]).toEqual(['bootstrap', []])
    expect(policyOf(found?.block.policy)).toEqual([
      {
        Sid: 'OtherAccountsPull',
        Effect: 'Allow',
        Principal: { AWS: ['arn:aws:iam::444455556666:root'] },
        Action: ['ecr:BatchCheckLayerAvailability', 'ecr:BatchGetImage', 'ecr:GetDownloadUrlForLayer'],
      },
    ])
    expect(resourcesOf(stackOf('bootstrap-444455556666'), 'aws_ecr_repository')).toEqual([])
  })
})

describe('roles of GitHub Actions', () => {
  const rolesOf = (name: string) => resourcesOf(stackOf(name), 'aws_iam_role').map(({ block }) => String(block.name))

  test('each account has a plan role, and an apply role for each of its environments', () => {
    expect(rolesOf('bootstrap').sort()).toEqual(
      ['apply-live2', 'plan', 'push'].map((role) => `millrace-github-${role}`),
    )
    expect(rolesOf('bootstrap-444455556666').sort()).toEqual(
      ['apply-sandbox', 'apply-test', 'plan'].map((role) => `millrace-github-${role}`),
    )
  })

  test('an apply role is denied the other environments of its account', () => {
    const policies = stackOf('bootstrap-444455556666').flatMap(({ resource }) =>
      Object.entries(resource.aws_iam_role_policy ?? {}),
    )
    const [, block] = policies.find(([name]) => name.includes('apply-sandbox-limits')) ?? []
    expect(policyOf(block?.policy)).toContainEqual(
      expect.objectContaining({
        Effect: 'Deny',
        Action: '*',
        Condition: {
          StringEquals: { 'aws:ResourceTag/Project': 'millrace', 'aws:ResourceTag/Environment': ['test'] },
        },
      }),
    )
  })
})
