import { expect, test } from 'vitest'
import { Progress } from '../../../infra/deployment/progress.ts'

const hook = (type: string, kind: string, more: object = {}) =>
  JSON.stringify({ type, hook: { resource: { addr: `${kind}.x`, resource_type: kind }, action: 'create', ...more } })

/** What it says, and how it ended. */
function said(...lines: string[]) {
  const shown: string[] = []
  const progress = new Progress((line) => shown.push(line))
  for (const line of lines) progress.take(line)
  return { shown, result: progress.result, errors: progress.errors }
}

test('what takes long is named, with how long it usually takes; what is quick is not', () => {
  const { shown } = said(
    hook('apply_start', 'aws_sns_topic'),
    hook('apply_start', 'aws_lb'),
    hook('apply_complete', 'aws_sns_topic', { elapsed_seconds: 1 }),
    hook('apply_complete', 'aws_lb', { elapsed_seconds: 123 }),
  )
  expect(shown).toEqual(['  AWS makes the load balancer: usually 2 to 4 minutes', '  load balancer: done after 123 s'])
})

test('while it takes long, a line a minute', () => {
  const { shown } = said(
    ...[10, 20, 50, 60, 70, 110, 120].map((elapsed_seconds) =>
      hook('apply_progress', 'aws_msk_cluster', { elapsed_seconds }),
    ),
  )
  expect(shown).toEqual([
    '  Kafka cluster: 60 s so far, usually 20 to 40 minutes',
    '  Kafka cluster: 120 s so far, usually 20 to 40 minutes',
  ])
})

test('the closing line and the errors are kept; what is no line of Terraform is left out', () => {
  const message = 'Apply complete! Resources: 3 added, 0 changed, 0 destroyed.'
  const error = { severity: 'error', summary: 'creating it', detail: 'AccessDenied', address: 'aws_lb.x' }
  const { shown, result, errors } = said(
    'a warning of the provider',
    JSON.stringify({ type: 'change_summary', '@message': 'Plan: 3 to add', changes: { operation: 'plan' } }),
    JSON.stringify({ type: 'diagnostic', diagnostic: { ...error, severity: 'warning' } }),
    JSON.stringify({ type: 'diagnostic', diagnostic: error }),
    JSON.stringify({ type: 'change_summary', '@message': message, changes: { operation: 'apply' } }),
  )
  expect([shown, result]).toEqual([['  Plan: 3 to add'], message])
  expect(errors).toEqual([{ summary: 'creating it', detail: 'AccessDenied', address: 'aws_lb.x' }])
})

test('Terraform may be ended while nothing was begun, or only what AWS has answered is waited for', () => {
  const progress = new Progress(() => undefined)
  expect(progress.isQuiet).toBe(true)
  progress.take(hook('apply_start', 'aws_nat_gateway'))
  expect(progress.isQuiet).toBe(false)
  progress.take(hook('apply_progress', 'aws_nat_gateway', { elapsed_seconds: 10 }))
  expect(progress.isQuiet).toBe(true)
  progress.take(hook('apply_start', 'aws_iam_policy'))
  progress.take(hook('apply_progress', 'aws_iam_policy', { elapsed_seconds: 10 }))
  expect(progress.isQuiet).toBe(false)
  progress.take(hook('apply_errored', 'aws_iam_policy'))
  expect(progress.isQuiet).toBe(true)
})
