/**
 * Names in the environment: each variable, its alias `MILLRACE_<NAME>`, and misspelt names. Other programs set
 * variables with our prefix, too: tools of this repository, and Kubernetes for its services.
 */
import { nearestName } from './edit-distance.ts'
import { invalid } from './variable.ts'

export const ALIAS_PREFIX = 'MILLRACE_'

/** Variables of `millrace send`, and of the tests and benchmarks of the repository (CONTRIBUTING.md). */
const OF_TOOLS: ReadonlySet<string> = new Set([
  'MILLRACE_KEY',
  'MILLRACE_BENCH_BEFORE',
  'MILLRACE_BENCH_DIR',
  'MILLRACE_BENCH_ROUNDS',
  'MILLRACE_BENCH_SECONDS',
  'MILLRACE_CLIENT_KILLS',
  'MILLRACE_COUNTED_EVENTS',
  'MILLRACE_FUZZ_RUNS',
  'MILLRACE_KAFKA_EVENTS',
  'MILLRACE_KILLS',
  'MILLRACE_OVERLOAD_SECONDS',
  'MILLRACE_PROGRAMS',
  'MILLRACE_PROGRAM_SECONDS',
  'MILLRACE_PYTHON',
  'MILLRACE_RECORD_OPERATIONS',
  'MILLRACE_SEED',
  'MILLRACE_SERVICE_DOWN_MS',
  'MILLRACE_SINK_DOWN_MS',
])

/**
 * Kubernetes announces a service named `millrace` or `millrace-…` to every container of its namespace, for example as
 * `MILLRACE_PORT=tcp://10.0.0.7:3000` (https://kubernetes.io/docs/concepts/services-networking/service/, environment
 * variables). Docker does the same for a linked container.
 */
const SERVICE_LINK = /_SERVICE_(HOST|PORT)(_\w+)?$|_PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?$/
const SERVICE_ADDRESS = /^(tcp|udp|sctp):\/\//

/** Variables of OpenSSL, Node and others that look similar to one of ours but are not a mistake. */
const OF_OTHERS: ReadonlySet<string> = new Set(['SSL_CERT_FILE'])

/** Names with fewer letters are too similar to other names to be checked. */
const MIN_LETTERS = 6

export type Origin = 'default' | 'environment' | 'alias'

export interface Setting {
  /** undefined if it is not set, or empty. */
  readonly text: string | undefined
  readonly origin: Origin
}

/**
 * The value of a variable, under its name or its alias.
 * @throws MillraceError CONFIG_INVALID if both are set, to different values.
 */
export function settingOf(environment: NodeJS.ProcessEnv, name: string): Setting {
  const alias = `${ALIAS_PREFIX}${name}`
  const own = environment[name] || undefined
  const other = isServiceLink(alias, environment[alias]) ? undefined : environment[alias] || undefined
  if (own !== undefined && other !== undefined && own !== other) {
    throw invalid(alias, `${name} is set as well, to another value: set one of the two`)
  }
  if (own !== undefined) return { text: own, origin: 'environment' }
  return { text: other, origin: other === undefined ? 'default' : 'alias' }
}

/** The environment with another value for one variable. */
export function withSetting(environment: NodeJS.ProcessEnv, name: string, text: string): NodeJS.ProcessEnv {
  return { ...environment, [name]: text, [`${ALIAS_PREFIX}${name}`]: undefined }
}

/**
 * @param known variables, without the prefix.
 * @throws MillraceError CONFIG_INVALID for an unknown variable with the prefix; suggests the nearest known one.
 */
export function refuseUnknown(environment: NodeJS.ProcessEnv, known: readonly string[]): void {
  const names = new Set(known)
  for (const [alias, value] of Object.entries(environment)) {
    if (!alias.startsWith(ALIAS_PREFIX) || OF_TOOLS.has(alias) || isServiceLink(alias, value)) continue
    const name = alias.slice(ALIAS_PREFIX.length)
    if (names.has(name)) continue
    const near = nearestName(name, known)
    const advice = near === undefined ? 'millrace config --describe lists them' : `did you mean ${ALIAS_PREFIX}${near}?`
    throw invalid(alias, `there is no such variable: ${advice}`)
  }
}

/**
 * A warning for each name that differs by at most two letters from a variable that is not set. It is not an error,
 * because the name may belong to another program.
 */
export function nearMissesOf(environment: NodeJS.ProcessEnv, known: readonly string[]): string[] {
  const names = known.filter((name) => name.length >= MIN_LETTERS)
  const isOurs = new Set(known)
  return Object.keys(environment).flatMap((name) => {
    if (name.length < MIN_LETTERS || isOurs.has(name) || OF_OTHERS.has(name) || name.startsWith(ALIAS_PREFIX)) return []
    const near = nearestName(name, names)
    if (near === undefined || settingOf(environment, near).text !== undefined) return []
    return [`${name} is set, but is not a variable of Millrace: did you mean ${near}?`]
  })
}

function isServiceLink(name: string, value: string | undefined): boolean {
  return SERVICE_LINK.test(name) || (name.endsWith('_PORT') && SERVICE_ADDRESS.test(value ?? ''))
}
