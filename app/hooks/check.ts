/** Checks `hooks` of a config file. Their secrets are read when the service starts: see secrets.ts. */
import { nearestName } from '../edit-distance.ts'
import { describe } from '../event.ts'
import { MAX_HOOKS } from '../observability/metrics-contract.ts'
import { PROVIDERS } from './scheme.ts'

/** Returns what a value must be, if it is invalid; otherwise undefined. */
type Rule = (value: unknown) => string | undefined

const MAX_SECRETS = 10
const MAX_EXTENSIONS = 20
const NAME = /^[a-z0-9][a-z0-9_-]{0,63}$/
const HEADER = /^[\w!#$%&'*+.^`|~-]{1,100}$/
const EXTENSION = /^[a-z0-9]{1,64}$/
/** Attributes that the service sets, or that are not extensions (CloudEvents 1.0, section 3). */
const TAKEN = new Set(
  'specversion id source type subject time datacontenttype dataschema data authtype authid authclaims clientaddress useragent'.split(
    ' ',
  ),
)
const NAMES = [...Object.keys(PROVIDERS), 'hmac']

const text =
  (pattern: RegExp, words: string): Rule =>
  (value) =>
    typeof value === 'string' && pattern.test(value) ? undefined : words
const oneOf = (...values: readonly string[]): Rule => {
  return (value) => (values.some((one) => one === value) ? undefined : `one of ${values.join(', ')}`)
}
const list =
  (max: number, rule: Rule): Rule =>
  (value) => {
    if (!Array.isArray(value) || value.length > max) return `an array of at most ${max}`
    const wanted = value.map(rule).find((one) => one !== undefined)
    return wanted === undefined ? undefined : `an array, of which each is ${wanted}`
  }
const header = text(HEADER, 'the name of a header')
const seconds: Rule = (value) =>
  Number.isInteger(value) && Number(value) >= 1 && Number(value) <= 3600 ? undefined : 'a whole number from 1 to 3600'
const field: Rule = (value) => {
  const words = '{ header: NAME } or { member: PATH }'
  if (!isObject(value) || Object.keys(value).length !== 1) return words
  return 'header' in value ? header(value.header) && words : text(/^[^.]+(\.[^.]+){0,4}$/, words)(value.member)
}
const extensions: Rule = (value) => {
  if (!isObject(value) || Object.keys(value).length > MAX_EXTENSIONS) return `an object of at most ${MAX_EXTENSIONS}`
  const isGood = ([name, of]: [string, unknown]) => EXTENSION.test(name) && !TAKEN.has(name) && !header(of)
  return Object.entries(value).every(isGood) ? undefined : '{ attribute: header }, of attributes that are extensions'
}

const COMMON: Readonly<Record<string, Rule>> = {
  provider: oneOf(...NAMES),
  secretVariables: list(MAX_SECRETS, text(/^[A-Za-z_]\w*$/, 'the name of a variable')),
  secretFiles: list(MAX_SECRETS, text(/./, 'a path')),
  toleranceSeconds: seconds,
  typePrefix: text(/^[\w.-]{1,64}$/, '1 to 64 letters, digits, _, - and .'),
  extensions,
  allowedOrigins: list(100, text(/^(\*|[\w.-]{1,253}(:\d{1,5})?)$/, 'a host name or *')),
}
const SIGNATURE: Readonly<Record<string, Rule>> = {
  header,
  separator: text(/^.$/, 'one character'),
  prefix: text(/^[\x21-\x7e]{0,50}$/, 'at most 50 printable characters'),
  encoding: oneOf('hex', 'base64'),
  algorithm: oneOf('sha256', 'sha384', 'sha512'),
  signed: text(/^[^{}]*(\{(timestamp|id|body)\}[^{}]*)+$/, 'a text with {body}, {timestamp} and {id}'),
  timestamp: (value) => (isObject(value) ? undefined : '{ header, prefix, unit }'),
  secretEncoding: oneOf('utf8', 'base64', 'hex'),
}
const TIMESTAMP: Readonly<Record<string, Rule>> = {
  header,
  prefix: text(/^[\x21-\x7e]{0,50}$/, 'at most 50 printable characters'),
  unit: oneOf('s', 'ms'),
}
const HMAC = {
  ...COMMON,
  signature: (value: unknown) => (isObject(value) ? undefined : '{ header, … }'),
  id: field,
  type: field,
}

/** @param fail makes the error to throw, which names the file. */
export function checkHooks(fail: (problem: string) => Error, hooks: unknown): void {
  if (hooks === undefined) return
  if (!isObject(hooks))
    throw fail(`hooks is ${describe(hooks)}, not an object such as { github: { provider: 'github', … } }`)
  const names = Object.keys(hooks)
  if (names.length > MAX_HOOKS) throw fail(`hooks has ${names.length}, the limit is ${MAX_HOOKS}`)
  for (const [name, hook] of Object.entries(hooks)) {
    if (!NAME.test(name))
      throw fail(`hooks: ${JSON.stringify(name)} is not a name, which has 1 to 64 lower-case letters, digits, - and _`)
    checkHook((problem) => fail(`hooks.${name}${problem}`), hook)
  }
}

function checkHook(fail: (problem: string) => Error, hook: unknown): void {
  if (!isObject(hook)) throw fail(` is ${describe(hook)}, not { provider, secretVariables, … }`)
  checkMembers((problem) => fail(problem), hook, hook.provider === 'hmac' ? HMAC : COMMON, ['provider'])
  const secrets = [hook.secretVariables, hook.secretFiles].flatMap((one) => (Array.isArray(one) ? one : []))
  if (secrets.length === 0)
    throw fail(': name the variable of its secret in secretVariables, or its file in secretFiles')
  if (secrets.length > MAX_SECRETS) throw fail(`: ${secrets.length} secrets, the limit is ${MAX_SECRETS}`)
  if (hook.provider === 'hmac') checkSignature((problem) => fail(`.signature${problem}`), hook)
}

function checkSignature(fail: (problem: string) => Error, { signature, id }: Readonly<Record<string, unknown>>): void {
  if (!isObject(signature)) throw fail(' is missing: say in which header the signature stands, such as { header }')
  checkMembers(fail, signature, SIGNATURE, ['header'])
  const { timestamp, signed } = signature
  if (isObject(timestamp)) checkMembers((problem) => fail(`.timestamp${problem}`), timestamp, TIMESTAMP, ['header'])
  if (signed === undefined) return
  const holds = (name: string) => String(signed).split(`{${name}}`).length - 1
  if (holds('body') !== 1) throw fail('.signed must hold {body} once')
  // A timestamp that is not signed could be changed, so it would not limit replays.
  if (holds('timestamp') > 0 !== (timestamp !== undefined))
    throw fail('.signed must hold {timestamp} if timestamp is set, and only then')
  if (holds('id') > 0 && !(isObject(id) && 'header' in id)) throw fail('.signed holds {id}: set id to { header: NAME }')
}

function checkMembers(
  fail: (problem: string) => Error,
  value: Readonly<Record<string, unknown>>,
  rules: Readonly<Record<string, Rule>>,
  needed: readonly string[],
): void {
  for (const name of needed)
    if (value[name] === undefined) throw fail(`.${name} is missing: it must be ${rules[name]?.(undefined)}`)
  for (const [name, given] of Object.entries(value)) {
    const rule = Object.hasOwn(rules, name) ? rules[name] : undefined
    if (rule === undefined) {
      const near = nearestName(name, Object.keys(rules))
      throw fail(
        `: there is no "${name}" in it: ${near === undefined ? `use ${Object.keys(rules).join(', ')}` : `did you mean ${near}?`}`,
      )
    }
    const wanted = given === undefined ? undefined : rule(given)
    if (wanted !== undefined) throw fail(`.${name} must be ${wanted}`)
  }
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
