/**
 * Decides like IAM whether a call is allowed, within one account.
 * https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
 *
 * An element that is not judged here is an error with its name: a policy is never taken for less than it says.
 */

export interface PolicyDocument {
  readonly Statement: PolicyStatement | readonly PolicyStatement[]
}

type OneOrMore = string | readonly string[]

export interface PolicyStatement {
  readonly Sid?: string
  readonly Effect: 'Allow' | 'Deny'
  readonly Principal?: '*' | Readonly<Record<string, OneOrMore>>
  readonly Action?: OneOrMore
  readonly NotAction?: OneOrMore
  readonly Resource?: OneOrMore
  readonly NotResource?: OneOrMore
  readonly Condition?: Readonly<Record<string, Readonly<Record<string, OneOrMore | boolean>>>>
}

/** One action on one resource. */
export interface Call {
  /** Such as `s3:GetObject`. */
  readonly action: string
  /** ARN, or `*` for an action that has none. */
  readonly resource: string
  /** Condition key → its value in this call. Names are compared without case. */
  readonly context: Readonly<Record<string, OneOrMore>>
}

export interface Policies {
  /** ARN of the caller's role, as resource policies name it. */
  readonly principalArn: string
  readonly identity: readonly PolicyDocument[]
  /** The most that `identity` can allow. */
  readonly boundary?: PolicyDocument
  /** Of the resource. */
  readonly resource?: PolicyDocument
  /** Resource policy that must let the account in before `identity` counts: keys of KMS have one. */
  readonly mustTrustAccount?: boolean
}

export type Decision = { readonly allowed: true } | { readonly allowed: false; readonly because: string }

/** In the words of AWS's own answers. */
export function decide(call: Call, policies: Policies): Decision {
  const { identity, boundary, resource, principalArn } = policies
  const own = (document: PolicyDocument, effect: 'Allow' | 'Deny') => statements(document).some(applies(call, effect))
  const shared = (effect: 'Allow' | 'Deny', arns: readonly string[]) =>
    resource !== undefined &&
    statements(resource)
      .filter((statement) => names(statement, arns))
      .some(applies(call, effect))
  const account = principalArn.split(':')[4] ?? ''
  const rootArn = `arn:aws:iam::${account}:root`

  if (identity.some((document) => own(document, 'Deny')))
    return denied('with an explicit deny in an identity-based policy')
  if (boundary && own(boundary, 'Deny')) return denied('with an explicit deny in a permissions boundary')
  if (shared('Deny', [principalArn, rootArn, account])) {
    return denied('with an explicit deny in a resource-based policy')
  }
  // A policy of the resource that lets everybody in lets the session in, which has no boundary.
  if (shared('Allow', [])) return { allowed: true }
  if (boundary && !own(boundary, 'Allow')) {
    return denied(`because no permissions boundary allows the ${call.action} action`)
  }
  if (shared('Allow', [principalArn])) return { allowed: true }
  if (!identity.some((document) => own(document, 'Allow'))) {
    return denied(`because no identity-based policy allows the ${call.action} action`)
  }
  if (policies.mustTrustAccount && !shared('Allow', [rootArn, account])) {
    return denied(`because no resource-based policy allows the ${call.action} action`)
  }
  return { allowed: true }
}

function denied(because: string): Decision {
  return { allowed: false, because }
}

export function statements({ Statement }: PolicyDocument): readonly PolicyStatement[] {
  return Array.isArray(Statement) ? Statement : [Statement as PolicyStatement]
}

/** Whether the statement is about one of these principals. */
function names({ Principal }: PolicyStatement, arns: readonly string[]): boolean {
  if (Principal === undefined) throw new Error('a resource policy without a Principal is not judged here')
  if (Principal === '*') return true
  return many(Principal.AWS).some((one) => one === '*' || arns.includes(one))
}

function applies({ action, resource, context }: Call, effect: 'Allow' | 'Deny') {
  const values = new Map(Object.entries(context).map(([key, value]) => [key.toLowerCase(), many(value)]))
  return (statement: PolicyStatement): boolean =>
    statement.Effect === effect &&
    matchesAction(statement, action) &&
    matchesResource(statement, resource, values) &&
    Object.entries(statement.Condition ?? {}).every(([operator, keys]) =>
      Object.entries(keys).every(([key, wanted]) =>
        holds(operator, many(wanted), values.get(key.toLowerCase()), values),
      ),
    )
}

function matchesAction({ Action, NotAction }: PolicyStatement, action: string): boolean {
  const matches = (pattern: string) => like(pattern.toLowerCase())(action.toLowerCase())
  return NotAction === undefined ? many(Action).some(matches) : !many(NotAction).some(matches)
}

function matchesResource({ Resource, NotResource }: PolicyStatement, resource: string, values: Values): boolean {
  const filled = many(NotResource ?? Resource).map((pattern) => fill(pattern, values))
  const isThere = filled.some((pattern) => pattern !== undefined && (pattern === '*' || likeArn(pattern)(resource)))
  // "All but what nobody knows" is nothing.
  return NotResource === undefined ? isThere : !isThere && !filled.includes(undefined)
}

type Values = ReadonlyMap<string, readonly string[]>

/** Each operator: whether the value that a call has fits the one that a policy wants. */
const OPERATORS: Readonly<Record<string, (wanted: string) => (value: string) => boolean>> = {
  StringEquals: (wanted) => (value) => value === wanted,
  StringEqualsIgnoreCase: (wanted) => (value) => value.toLowerCase() === wanted.toLowerCase(),
  StringLike: (wanted) => like(wanted),
  ArnEquals: (wanted) => likeArn(wanted),
  ArnLike: (wanted) => likeArn(wanted),
  Bool: (wanted) => (value) => value.toLowerCase() === wanted.toLowerCase(),
  NumericEquals: (wanted) => (value) => Number(value) === Number(wanted),
  NumericLessThanEquals: (wanted) => (value) => Number(value) <= Number(wanted),
}

/** One line of a condition: the operator, what it wants, and what the call has. */
function holds(
  operator: string,
  wanted: readonly string[],
  values: readonly string[] | undefined,
  all: Values,
): boolean {
  if (operator === 'Null') return wanted.every((want) => (want === 'true') === (values === undefined))
  const [, quantifier, negated, name = '', orMissing] =
    /^(ForAllValues:|ForAnyValue:)?(?:(String|Arn|Numeric)Not)?(\w+?)(IfExists)?$/.exec(operator) ?? []
  const known = OPERATORS[negated === undefined ? name : `${negated}${name}`]
  if (known === undefined) throw new Error(`the condition operator ${operator} is not judged here`)
  if (values === undefined || values.length === 0) {
    return orMissing !== undefined || negated !== undefined || quantifier === 'ForAllValues:'
  }
  const patterns = wanted.flatMap((want) => {
    const filled = fill(want, all)
    return filled === undefined ? [] : [known(filled)]
  })
  const one = (value: string) => patterns.some((matches) => matches(value)) !== (negated !== undefined)
  if (quantifier === 'ForAllValues:') return values.every(one)
  if (quantifier === 'ForAnyValue:') return values.some(one)
  return negated === undefined ? values.some(one) : values.every(one)
}

/** Puts the values of a call in the place of `${key}`; undefined where the call has none: such a text matches nothing. */
function fill(text: string, values: Values): string | undefined {
  let isWhole = true
  const filled = text.replaceAll(/\$\{([^}]*)\}/g, (_, key: string) => {
    if (['*', '?', '$'].includes(key)) return LITERALS[key] ?? ''
    const [value, ...more] = values.get(key.toLowerCase()) ?? []
    if (value === undefined || more.length > 0) isWhole = false
    return value ?? ''
  })
  return isWhole ? filled : undefined
}

/** Characters that no ARN has, for those that are meant as they are. */
const LITERALS: Readonly<Record<string, string>> = { '*': '\u0001', '?': '\u0002', $: '$' }

function like(pattern: string): (value: string) => boolean {
  const source = pattern
    .replaceAll(/[.+^${}()|[\]\\]/g, '\\$&')
    .replaceAll('*', '[^]*')
    .replaceAll('?', '[^]')
  const expression = new RegExp(`^${source.replaceAll('\u0001', '\\*').replaceAll('\u0002', '\\?')}$`)
  return (value) => expression.test(value)
}

/** Each of the six parts by itself: a wildcard ends at the colon, but in the last part. */
function likeArn(pattern: string): (arn: string) => boolean {
  const parts = splitArn(pattern)
  if (parts.length < 6) return like(pattern)
  const patterns = parts.map(like)
  return (arn) => {
    const given = splitArn(arn)
    return given.length === 6 && patterns.every((matches, at) => matches(given[at] as string))
  }
}

function splitArn(arn: string): string[] {
  const parts = arn.split(':')
  return parts.length <= 6 ? parts : [...parts.slice(0, 5), parts.slice(5).join(':')]
}

function many(value: OneOrMore | boolean | undefined): readonly string[] {
  if (value === undefined) return []
  if (typeof value === 'object') return value
  return [String(value)]
}
