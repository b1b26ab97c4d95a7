/**
 * What the workflows do between a commit and AWS, by the same commands in the same order and with the same roles: plan, approve,
 * apply. Real cdktf code, terraform and AWS provider; AWS is emulated, and the approval is that the test goes on.
 */
import { rmSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type EmulatedAws, missing, startEmulatedAws } from '../support/emulated-aws.ts'
import { expectGateAgrees } from '../support/iam/agrees.ts'
import { type PipelineStep, runPipeline, sessionOf } from '../support/pipeline.ts'
import { edit, editedProject } from '../support/synth.ts'

const ACCOUNT = '123456789012'
const reason = missing()

let aws: EmulatedAws
let project: string
/** As in the config now. */
let budget = 150

async function plan(): Promise<PipelineStep & { readonly id: string }> {
  const step = await runPipeline(await sessionOf(aws, 'plan'), project, 'plan', 'dev')
  expect(step.code, step.output.slice(-4000)).toBe(0)
  expect(step.outputs.plan).toMatch(/^[0-9a-f]{64}$/)
  return { ...step, id: step.outputs.plan ?? '' }
}

const apply = async (id: string) =>
  runPipeline(await sessionOf(aws, 'apply-dev', 'dev'), project, 'apply', 'dev', '--plan', id)

const drift = async (...names: string[]) => runPipeline(await sessionOf(aws, 'plan'), project, 'drift', ...names)

/** One line of the config that changes one resource of the last but one stack. */
function setBudget(usd: number): void {
  edit(project, [[`budgetUsdPerMonth: ${budget},`, `budgetUsdPerMonth: ${usd},`]])
  budget = usd
}

async function budgetInAws(): Promise<number> {
  const name = { AccountId: ACCOUNT, BudgetName: 'millrace-dev' }
  const answer = await aws.call('budgets', 'AWSBudgetServiceGateway.DescribeBudget', name)
  const { Budget } = answer as unknown as { Budget: { BudgetLimit: { Amount: string } } }
  return Number(Budget.BudgetLimit.Amount)
}

describe.skipIf(reason)(`plan, approve, apply${reason ? ` (left out: ${reason})` : ''}`, () => {
  beforeAll(async () => {
    aws = await startEmulatedAws()
    project = editedProject([
      ['000000000000', ACCOUNT],
      ["'0'.repeat(64)", "'a'.repeat(64)"],
      ['protectState: true', 'protectState: false'],
    ])
  })
  afterAll(async () => {
    await aws?.stop()
    if (project) rmSync(project, { recursive: true, force: true })
  })

  test('a new environment: each plan holds what can be planned, each apply says what is left', async () => {
    const { code, output } = await aws.run(
      project,
      ...(['npm', 'run', '--silent', 'deploy', '--', 'bootstrap'] as const),
      ...['--auto-approve', '--skip-provider-lock'],
    )
    expect(code, output.slice(-4000)).toBe(0)

    const left: string[] = []
    for (let round = 1; round <= 3; round++) {
      const { id, summary } = await plan()
      if (round === 1) {
        expect(summary).toMatch(/\| dev-foundation \| \d+ to add, 0 to change, 0 to destroy \|/)
        expect(summary).toContain('| dev-service | waits for what dev-foundation gives, then is planned |')
      }
      const applied = await apply(id)
      expect(applied.code, applied.output.slice(-4000)).toBe(0)
      left.push(/Left: ([^.]*)\./.exec(applied.output)?.[1] ?? 'nothing')
      expect(applied.outputs.again).toBe(String(left.at(-1) !== 'nothing'))
      if (applied.outputs.again === 'false') break
    }
    expect(left).toEqual(['dev-monitoring, dev-service', 'dev-service', 'nothing'])
    const { summary } = await plan()
    expect(summary.match(/\| no changes \|/g)).toHaveLength(3)
  })

  test('the summary shows the one change, and nothing but the saved plan is applied', async () => {
    setBudget(175)
    const { id, summary } = await plan()
    expect(summary).toContain('| dev-monitoring | 0 to add, 1 to change, 0 to destroy |')
    expect(summary).toMatch(/! {5}limit_amount: "150(\.0)?" → "175(\.0)?"/)

    setBudget(200)
    const refused = await apply(id)
    expect(refused.code, refused.output).toBe(3)
    expect(refused.output).toContain('dev-monitoring: the code is not what was planned')
    expect(await budgetInAws()).toBe(150)

    setBudget(175)
    const applied = await apply(id)
    expect(applied.code, applied.output.slice(-4000)).toBe(0)
    expect(applied.output).toContain('dev is complete.')
    expect(await budgetInAws()).toBe(175)
  })

  test('a state that moved between plan and apply: refused, nothing applied, and a new plan goes through', async () => {
    setBudget(180)
    const { id } = await plan()
    setBudget(190)
    const [elsewhere, before] = [await plan(), await apply('0'.repeat(64))]
    expect(before.code).toBe(1)
    expect(before.output).toMatch(/plans\/0+\/plan\.json does not exist, or no longer: plan again/)
    expect((await apply(elsewhere.id)).code).toBe(0)
    expect(await budgetInAws()).toBe(190)

    setBudget(180)
    const refused = await apply(id)
    expect(refused.code, refused.output).toBe(3)
    expect(refused.output).toMatch(
      /dev-monitoring: the state moved from serial (\d+) to serial (\d+) since the plan: plan again/,
    )
    expect(refused.outputs.again).toBe('true')
    expect(await budgetInAws()).toBe(190)

    const again = await plan()
    expect((await apply(again.id)).code).toBe(0)
    expect(await budgetInAws()).toBe(180)
  })

  test('a saved plan that somebody replaced is refused', async () => {
    setBudget(185)
    const { id } = await plan()
    setBudget(9999)
    const other = await plan()
    const bucket = `s3://millrace-state-${ACCOUNT}-eu-central-1/plans`
    const region = aws.environment.AWS_REGION ?? ''
    const key = (of: string) => `${bucket.slice(5)}/${of}/dev-monitoring.tfplan`
    const replaced = await fetch(`${aws.environment.AWS_ENDPOINT_URL}/${key(id)}`, {
      method: 'PUT',
      headers: {
        authorization: `AWS4-HMAC-SHA256 Credential=emulated/20260101/${region}/s3/aws4_request, SignedHeaders=host, Signature=none`,
        'x-amz-copy-source': `/${key(other.id)}`,
      },
    })
    expect(replaced.status).toBe(200)
    setBudget(185)
    const refused = await apply(id)
    expect(refused.code, refused.output).toBe(1)
    expect(refused.output).toContain('dev-monitoring.tfplan is not what was saved: plan again')
    expect(await budgetInAws()).toBe(180)
    setBudget(180)
  })

  test('drift: silent while all is as the code says, then named', async () => {
    const none = await drift('dev', 'prod')
    expect([none.code, none.outputs.drift, none.summary], none.output.slice(-2000)).toEqual([0, 'false', ''])
    expect(none.output).toContain('prod is not deployed: nothing to compare')

    const Name = { AccountId: ACCOUNT, BudgetName: 'millrace-dev' }
    const { Budget } = await aws.call('budgets', 'AWSBudgetServiceGateway.DescribeBudget', Name)
    const changed = { ...(Budget as unknown as object), BudgetLimit: { Amount: '4000', Unit: 'USD' } }
    await aws.call('budgets', 'AWSBudgetServiceGateway.UpdateBudget', { AccountId: ACCOUNT, NewBudget: changed })
    const found = await drift('dev')
    expect([found.code, found.outputs.drift]).toEqual([0, 'true'])
    expect(found.summary).toMatch(/! aws_budgets_budget\.budget\n! {5}limit_amount: "4000(\.0)?" → "180(\.0)?"/)
  })

  test('no call of a role was refused that its step needs', () => {
    expect(aws.gate.failures).toEqual([])
    expect(aws.gate.denials).toEqual([])
    console.error(`${aws.gate.judged.length} actions of plan and apply role judged, none refused`)
  })

  test('a published simulator of IAM judges all of it the same, and no operation is new', async () => {
    await expectGateAgrees(aws)
  })
})
