/** The list of operations that a provider may call: what is not in it has a name, and so a failing test. */
import { expect, test } from 'vitest'
import type { Judged } from './gate.ts'
import { newOperations } from './recorded.ts'

const VERSION = '5.100.0'

function judged(role: string, operation: string, allowed = true): Judged {
  return {
    role,
    operation,
    call: { action: operation, resource: '*', context: {} },
    policies: { principalArn: `arn:aws:iam::123456789012:role/${role}`, identity: [] },
    decision: allowed ? { allowed } : { allowed, because: 'it is a test' },
  }
}

test('an operation that is new for a role of the pipeline is named, once', () => {
  const calls = [
    judged('millrace-github-apply-prod', 'ecs:CreateService'),
    judged('millrace-github-apply-prod', 'ecs:CreateDaemon'),
    judged('millrace-github-apply-dev', 'ecs:CreateDaemon'),
    judged('millrace-github-plan', 'ecs:CreateService'),
  ]
  expect(newOperations(VERSION, calls)).toEqual(['apply: ecs:CreateDaemon', 'plan: ecs:CreateService'])
})

test('what was denied was not needed, and tasks are no provider', () => {
  const calls = [
    judged('millrace-github-apply-prod', 'ecs:CreateDaemon', false),
    judged('millrace-prod-deliver-task', 's3:CreateDaemon'),
  ]
  expect(newOperations(VERSION, calls)).toEqual([])
})
