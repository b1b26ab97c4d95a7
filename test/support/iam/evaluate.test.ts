/** biome-ignore-all lint/suspicious/noTemplateCurlyInString: variables of IAM policies look like that. */
/** The judge of the gate, beside a published simulator of IAM: the same policies, the same calls, the same answers. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Call, decide, type PolicyDocument, type PolicyStatement } from './evaluate.ts'
import { isAllowedBySimulator } from './simulated.ts'

const ROLE = 'arn:aws:iam::123456789012:role/worker'

const actions = ['s3:GetObject', 's3:PutObject', 's3:DeleteObject', 's3:GetObjectTagging'] as const
const resources = [
  'arn:aws:s3:::logs/a',
  'arn:aws:s3:::logs/dir/b',
  'arn:aws:s3:::other/${aws:RequestedRegion}/c',
] as const

const oneOrMore = <T>(of: readonly T[]) => fc.array(fc.constantFrom(...of), { minLength: 1, maxLength: 3 })
const actionPatterns = oneOrMore([
  '*',
  's3:*',
  's3:Get*',
  's3:getobject',
  's3:PutObject',
  's3:?etObject*',
  'ec2:RunInstances',
])
const resourcePatterns = oneOrMore([
  '*',
  'arn:aws:s3:::*',
  'arn:aws:s3:::logs/*',
  'arn:aws:s3:::lo?s/a',
  'arn:aws:s3:::logs/dir/b',
  'arn:aws:s3:::other/${aws:RequestedRegion}/*',
  'arn:aws:s3:::other/${aws:PrincipalTag/team}/*',
])
const values = ['eu-central-1', 'eu-west-1', 'eu-*', 'EU-CENTRAL-1', '?u-central-1'] as const

const condition = fc
  .tuple(
    fc.constantFrom(
      ...['StringEquals', 'StringNotEquals', 'StringLike', 'StringNotLike', 'StringEqualsIgnoreCase'],
      ...['StringEqualsIfExists', 'StringLikeIfExists', 'StringNotEqualsIfExists'],
    ),
    fc.constantFrom('aws:RequestedRegion', 'AWS:requestedregion', 'aws:PrincipalTag/team', 'aws:PrincipalAccount'),
    oneOrMore(values),
  )
  .map(([operator, key, wanted]) => ({ [operator]: { [key]: wanted } }))
const listCondition = fc
  .tuple(
    fc.constantFrom(
      'ForAllValues:StringEquals',
      'ForAnyValue:StringEquals',
      'ForAnyValue:StringLike',
      'ForAllValues:StringLike',
    ),
    oneOrMore(values),
  )
  .map(([operator, wanted]) => ({ [operator]: { 'aws:TagKeys': wanted } }))
const otherCondition = fc.constantFrom(
  { Bool: { 'aws:SecureTransport': 'true' } },
  { Bool: { 'aws:SecureTransport': 'false' } },
  { Null: { 'aws:PrincipalTag/team': 'true' } },
  { Null: { 'aws:RequestedRegion': 'false' } },
  { ArnLike: { 'aws:SourceArn': 'arn:aws:sns:*:123456789012:*' } },
  { ArnEquals: { 'aws:SourceArn': 'arn:aws:sns:eu-central-1:*:topic' } },
  { ArnNotLike: { 'aws:SourceArn': 'arn:aws:sns:*:123456789012:*' } },
)

function statement(isShared: boolean): fc.Arbitrary<PolicyStatement> {
  return fc
    .record({
      Effect: fc.constantFrom('Allow' as const, 'Allow' as const, 'Deny' as const),
      what: fc.tuple(fc.boolean(), actionPatterns),
      where: fc.tuple(fc.boolean(), resourcePatterns),
      Condition: fc.option(fc.oneof(condition, condition, listCondition, otherCondition), { nil: undefined }),
      who: fc.constantFrom('*' as const, { AWS: '*' }, { AWS: ROLE }, { AWS: 'arn:aws:iam::123456789012:root' }),
    })
    .map(({ Effect, what: [notAction, listed], where: [notResource, located], Condition, who }) => ({
      Effect,
      ...(isShared && { Principal: who }),
      // A denial of all but a few things denies nearly all: rarely.
      ...(notAction && Effect === 'Allow' ? { NotAction: listed } : { Action: listed }),
      ...(notResource && Effect === 'Allow' ? { NotResource: located } : { Resource: located }),
      ...(Condition && { Condition: Condition as NonNullable<PolicyStatement['Condition']> }),
    }))
}
const policy = (isShared = false) =>
  fc.array(statement(isShared), { minLength: 1, maxLength: 3 }).map((Statement): PolicyDocument => ({ Statement }))

const calls: fc.Arbitrary<Call> = fc.record({
  action: fc.constantFrom(...actions),
  resource: fc.constantFrom(...resources).map((arn) => arn.replace('${aws:RequestedRegion}', 'eu-central-1')),
  context: fc
    .record(
      {
        'aws:RequestedRegion': fc.constantFrom('eu-central-1', 'eu-west-1'),
        'aws:PrincipalTag/team': fc.constantFrom('eu-central-1', 'blue'),
        'aws:TagKeys': fc.subarray(['eu-central-1', 'eu-west-1'], { minLength: 1 }),
        'aws:SecureTransport': fc.constantFrom('true', 'false'),
        'aws:SourceArn': fc.constantFrom(
          'arn:aws:sns:eu-central-1:123456789012:topic',
          'arn:aws:sns:eu-central-1:1:x:topic',
        ),
      },
      { requiredKeys: [] },
    )
    .map((context) => context as Call['context']),
})

test('property: over generated policies, a call is allowed where a published simulator allows it', async () => {
  let allowed = 0
  await fc.assert(
    fc.asyncProperty(
      calls,
      fc.array(policy(), { minLength: 1, maxLength: 2 }),
      fc.option(policy(), { nil: undefined, freq: 2 }),
      fc.option(policy(true), { nil: undefined, freq: 2 }),
      async (call, identity, boundary, resource) => {
        const policies = {
          principalArn: ROLE,
          identity,
          ...(boundary && { boundary }),
          ...(resource && { resource }),
        }
        const decision = decide(call, policies)
        if (decision.allowed) allowed += 1
        expect(decision.allowed).toBe(await isAllowedBySimulator(call, policies))
      },
    ),
    { numRuns: 1000 },
  )
  expect(allowed).toBeGreaterThan(100) // else it would say nothing
}, 60_000)

describe('what is not judged is an error, never an answer', () => {
  const call: Call = { action: 's3:GetObject', resource: 'arn:aws:s3:::logs/a', context: {} }
  const allow = { Effect: 'Allow', Action: '*', Resource: '*' } as const

  test('an operator', () => {
    const identity = [{ Statement: { ...allow, Condition: { DateLessThan: { 'aws:CurrentTime': '2026-01-01' } } } }]
    expect(() => decide(call, { principalArn: ROLE, identity })).toThrow('DateLessThan is not judged here')
  })

  test('a resource policy for nobody in particular', () => {
    const policies = { principalArn: ROLE, identity: [{ Statement: allow }], resource: { Statement: allow } }
    expect(() => decide(call, policies)).toThrow('without a Principal')
  })
})

test('a key lets the account in, or the role by name; else its identity policies count for nothing', () => {
  const call = { action: 'kms:Decrypt', resource: 'arn:aws:kms:eu-central-1:123456789012:key/1', context: {} }
  const identity = [{ Statement: { Effect: 'Allow', Action: 'kms:*', Resource: '*' } as const }]
  const letIn = (AWS: string): PolicyDocument => ({
    Statement: { Effect: 'Allow', Principal: { AWS }, Action: 'kms:*', Resource: '*' },
  })
  const by = (resource: PolicyDocument, own = identity) =>
    decide(call, { principalArn: ROLE, identity: own, resource, mustTrustAccount: true })
  expect(by(letIn('arn:aws:iam::123456789012:root')).allowed).toBe(true)
  expect(by(letIn(ROLE), []).allowed).toBe(true)
  expect(by(letIn('arn:aws:iam::123456789012:role/other'))).toEqual({
    allowed: false,
    because: 'because no resource-based policy allows the kms:Decrypt action',
  })
})
