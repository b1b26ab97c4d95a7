/**
 * Configuration: environment variables, validated once, then frozen. Each directory declares its own in a
 * `variables.ts`. The README table is generated from them (`npm run millrace -- config --markdown`), and `infra/` takes
 * the environment of its containers from {@link Environment}.
 */
import { ADMIN_VARIABLES } from './admin/variables.ts'
import { checkDelivery, DELIVERY_VARIABLES } from './delivery/variables.ts'
import { nearMissesOf, type Origin, refuseUnknown, settingOf } from './environment.ts'
import { type ApiKey, readKeys } from './http/api-keys.ts'
import { checkHttp, HTTP_VARIABLES } from './http/variables.ts'
import { checkLog, LOG_VARIABLES } from './log/variables.ts'
import { OBSERVABILITY_VARIABLES } from './observability/variables.ts'
import { checkSinks, SINK_VARIABLES } from './sinks/variables.ts'
import { choice, convert, integer, invalid, SECOND_MS, type ValuesOf, type Variable } from './variable.ts'

/** Variables of the process as a whole. */
const PROCESS_VARIABLES = {
  ROLE: choice(
    ['all', 'ingest', 'deliver'],
    'all',
    'What this process does. `all`: accepts events and delivers them. `ingest`, `deliver`: only one of these, with Kafka between them.',
  ),
  SHUTDOWN_GRACE_MS: integer(
    0,
    10 * 60 * SECOND_MS,
    SECOND_MS,
    'After SIGTERM: how long readiness fails while requests are still served.',
  ),
  SHUTDOWN_DRAIN_MS: integer(
    0,
    10 * 60 * SECOND_MS,
    10 * SECOND_MS,
    'After that: how long sinks may go on delivering events of the log; the rest is delivered after the next start.',
  ),
}

/** In the order of the README: the process, then along the data path. */
const SCHEMA = {
  ...PROCESS_VARIABLES,
  ...HTTP_VARIABLES,
  ...LOG_VARIABLES,
  ...DELIVERY_VARIABLES,
  ...SINK_VARIABLES,
  ...ADMIN_VARIABLES,
  ...OBSERVABILITY_VARIABLES,
}
export const VARIABLES: Readonly<Record<string, Variable>> = SCHEMA

type Values = ValuesOf<typeof SCHEMA>

export type Config = Values & {
  /** Client name → its key. */
  readonly apiKeys: ReadonlyMap<string, ApiKey>
  /** Origin of each value. */
  readonly origins: Readonly<Record<keyof Values, Origin>>
}

/**
 * The type of a container's environment, for the task definitions of `infra/`.
 * @public
 */
export type Environment = Partial<Record<keyof Values, string>>

/**
 * Reads and validates the environment: each variable under its name, or as `MILLRACE_<NAME>`.
 * @throws MillraceError CONFIG_INVALID; its message is one line with the variable, the problem and the valid values.
 */
export function loadConfig(environment: NodeJS.ProcessEnv): Config {
  const values: Record<string, unknown> = {}
  const origins: Record<string, Origin> = {}
  for (const [name, variable] of Object.entries(VARIABLES)) {
    const { text, origin } = settingOf(environment, name)
    values[name] = text === undefined ? variable.default : convert(name, variable, text)
    origins[name] = origin
  }
  refuseUnknown(environment, Object.keys(VARIABLES))
  const config = values as Values // each value is converted by its own schema
  const apiKeys = readKeys(config.API_KEYS, config.API_KEYS_FILE)
  checkTogether(config, apiKeys)
  // Keep the keys only in `apiKeys`, so that code which prints the variables cannot print them.
  return Object.freeze({ ...config, API_KEYS: [], apiKeys, origins: origins as Config['origins'] })
}

/** Warnings for the operator: names in the environment that are similar to the name of a variable. */
export function nearMisses(environment: NodeJS.ProcessEnv): string[] {
  return nearMissesOf(environment, Object.keys(VARIABLES))
}

/**
 * `config` with other values for some variables, validated like the environment.
 * @throws MillraceError CONFIG_INVALID
 */
export function withOptions(config: Config, options: Partial<Config>): Config {
  const values: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(options)) {
    const variable = VARIABLES[name]
    if (variable === undefined) throw invalid(name, 'there is no such variable')
    values[name] = convert(name, variable, String(value))
  }
  const changed = { ...config, ...values }
  checkTogether(changed, config.apiKeys)
  return Object.freeze(changed)
}

/** Checks that involve more than one variable. */
function checkTogether(config: Values, apiKeys: ReadonlyMap<string, ApiKey>): void {
  if (config.ROLE !== 'all' && config.LOG_ENGINE !== 'kafka') {
    throw invalid('ROLE', `${config.ROLE} shares its log with other processes: that needs LOG_ENGINE=kafka`)
  }
  checkHttp(config, apiKeys)
  checkLog(config)
  checkDelivery(config)
  checkSinks(config)
}
