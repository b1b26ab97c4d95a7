/** The example that takes our constructs into an app of its own, synthesised as its user does. */
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { expect, test } from 'vitest'
import { temporaryDirectory } from '../support/temporary.ts'

const EXAMPLE = resolve(import.meta.dirname, '../../examples/own-stack.ts')

test('40 lines make a service with its roles, group, log, collector and alarms, and nothing of ours around it', () => {
  expect(readFileSync(EXAMPLE, 'utf8').trim().split('\n').length).toBeLessThanOrEqual(40)
  const out = temporaryDirectory()
  const { status, stderr } = spawnSync(process.execPath, [EXAMPLE], {
    encoding: 'utf8',
    env: { ...process.env, CDKTF_OUTDIR: out },
  })
  expect([status, stderr]).toEqual([0, ''])
  const text = readFileSync(join(out, 'stacks/shop-events/cdk.tf.json'), 'utf8')
  const { resource } = JSON.parse(text) as { resource: Record<string, object> }
  const count = Object.fromEntries(Object.entries(resource).map(([type, named]) => [type, Object.keys(named).length]))
  expect(count).toEqual({
    aws_cloudwatch_log_group: 1,
    aws_cloudwatch_metric_alarm: 5,
    aws_ecs_service: 1,
    aws_ecs_task_definition: 1,
    aws_iam_role: 2,
    aws_iam_role_policy: 2,
    aws_security_group: 1,
    aws_ssm_parameter: 1,
    aws_vpc_security_group_egress_rule: 3,
    aws_vpc_security_group_ingress_rule: 1,
  })
  expect(text).not.toMatch(/permissions_boundary|remote_state/)
})
