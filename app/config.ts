/**
 * Configuration: environment variables, checked once against this one schema, then frozen. Each variable has its unit
 * in its name, and a sentence, a range and a default here; the README table is generated from it
 * (`npm run millrace -- config --markdown`), and `infra/` takes the container environment from {@link Environment}.
 */
import { hash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { MillraceError, messageOf } from './errors.ts'

const KIB = 1024
const MIB = 1024 * KIB
const GIB = 1024 * MIB
const SECOND_MS = 1000
const DAY_MS = 24 * 60 * 60 * SECOND_MS

/** In the terms of JSON Schema. */
export interface Variable<T = unknown> {
  readonly type: 'integer' | 'string' | 'boolean' | 'array'
  readonly enum?: readonly string[]
  /** Of an array: what each item may be. Default: any text. */
  readonly items?: { readonly enum: readonly string[] }
  readonly minimum?: number
  readonly maximum?: number
  readonly default: T
  readonly description: string
}

function integer(minimum: number, maximum: number, fallback: number, description: string): Variable<number> {
  return { type: 'integer', minimum, maximum, default: fallback, description }
}
function text(fallback: string, description: string): Variable<string> {
  return { type: 'string', default: fallback, description }
}
function flag(fallback: boolean, description: string): Variable<boolean> {
  return { type: 'boolean', default: fallback, description }
}
function list<const T extends string>(
  values: readonly T[],
  fallback: readonly NoInfer<T>[],
  description: string,
): Variable<readonly T[]> {
  return { type: 'array', items: { enum: values }, default: fallback, description }
}
function names(description: string): Variable<readonly string[]> {
  return { type: 'array', default: [], description }
}
function choice<const T extends string>(values: readonly T[], fallback: NoInfer<T>, description: string): Variable<T> {
  return { type: 'string', enum: values, default: fallback, description }
}

/** Who a process is to the brokers. */
export const KAFKA_AUTHS = ['none', 'tls', 'mtls', 'scram-sha-256', 'scram-sha-512', 'msk-iam'] as const

export type SinkName = (typeof SINK_NAMES)[number]
export const SINK_NAMES = ['file', 'stdout', 'http', 's3', 'postgres'] as const

const SCHEMA = {
  HOST: text('127.0.0.1', 'Address of the public listener.'),
  PORT: integer(0, 65_535, 3000, 'Port of the public listener; 0 takes any free one.'),
  ADMIN_HOST: text('127.0.0.1', 'Address of the admin listener (metrics, health, dead letters): keep it private.'),
  ADMIN_PORT: integer(0, 65_535, 9464, 'Port of the admin listener; 0 takes any free one.'),
  ADMIN_TOKEN: text(
    '',
    'Bearer token that replaying dead letters needs; without one it is open on loopback and refused elsewhere.',
  ),
  ROLE: choice(
    ['all', 'ingest', 'deliver'],
    'all',
    'What this process does: `all` takes events in and delivers them; `ingest` and `deliver` do half each, around Kafka.',
  ),
  WORKERS: integer(
    1,
    64,
    1,
    'Threads that take events in; 1 is the main thread. More share the port (Linux) and divide the capacities; the writer stays one. About 50 MB each.',
  ),
  LOG_ENGINE: choice(
    ['embedded', 'kafka'],
    'embedded',
    'What makes events durable: `embedded` keeps segment files in `DATA_DIR`; `kafka` writes to `KAFKA_TOPIC` and needs no disk.',
  ),
  KAFKA_BROKERS: names('Some brokers, `host:port` separated by commas; needed when `LOG_ENGINE=kafka`.'),
  KAFKA_TOPIC: text('millrace', 'Topic of the events; dead letters go to `<topic>.dead-letters.<sink>`.'),
  KAFKA_GROUP: text(
    'millrace',
    'Consumer groups are named `<group>.<sink>`: processes with the same one share the work.',
  ),
  KAFKA_CREATE_TOPICS: flag(
    false,
    'Makes a topic that is missing; otherwise the start ends with the command that makes it.',
  ),
  KAFKA_PARTITIONS: integer(
    1,
    10_000,
    24,
    'Partitions of a topic made here: at most so many processes deliver at once.',
  ),
  KAFKA_REPLICATION: integer(
    1,
    15,
    3,
    'Copies of each event: of a topic made here, and at least so many of one that is there.',
  ),
  KAFKA_MIN_IN_SYNC: integer(
    1,
    15,
    2,
    'Copies that must be in sync before an event is acknowledged; a topic with fewer is refused.',
  ),
  KAFKA_RETENTION_MS: integer(
    60 * SECOND_MS,
    3650 * DAY_MS,
    7 * DAY_MS,
    'How long a topic made here keeps events, delivered or not: longer than any outage of a sink.',
  ),
  KAFKA_WRITE_TIMEOUT_MS: integer(
    100,
    10 * 60 * SECOND_MS,
    10 * SECOND_MS,
    'How long a write is tried while brokers are away or too few are in sync; then it is refused with 503.',
  ),
  KAFKA_REQUEST_TIMEOUT_MS: integer(
    100,
    60 * SECOND_MS,
    5 * SECOND_MS,
    'Time for one request to a broker; then it is tried again, at another one if need be.',
  ),
  KAFKA_AUTH: choice(
    KAFKA_AUTHS,
    'none',
    'Who we are to the brokers, all but `none` over TLS: `tls` nobody, `mtls` a certificate, `scram-…` a user, `msk-iam` a role of AWS.',
  ),
  KAFKA_USERNAME: text('', 'User of `scram-…`.'),
  KAFKA_PASSWORD: text('', 'Its password.'),
  KAFKA_CA_FILE: text('', 'PEM file of the certificates to trust; empty: those that Node trusts.'),
  KAFKA_CERT_FILE: text('', 'PEM file of our certificate, for `mtls`.'),
  KAFKA_KEY_FILE: text('', 'PEM file of its key.'),
  KAFKA_AWS_REGION: text('', 'Region of the cluster, for `msk-iam`.'),
  ENVIRONMENT: text(
    'local',
    'Name of the deployment, such as `dev` or `prod`; a dimension of what CloudWatch is told.',
  ),
  CLOUDWATCH_INTERVAL_MS: integer(
    0,
    5 * 60 * SECOND_MS,
    0,
    'How often saturation and lag are printed for CloudWatch (Embedded Metric Format); 0 is never.',
  ),
  DATA_DIR: text('./data', 'Directory of the log, the dead letters and the counters; one process at a time.'),
  LOG_LEVEL: choice(
    ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'],
    'info',
    'Least severity that is logged.',
  ),

  ACK: choice(
    ['durable', 'memory'],
    'durable',
    'When a request is answered: `durable` after fdatasync; `memory` once queued, and the answer says so: a crash then loses what was not yet written.',
  ),
  MAX_BODY_BYTES: integer(
    KIB,
    64 * MIB,
    MIB,
    'Largest request body, before and after decompression; as it is stored, twice that.',
  ),
  MAX_REQUEST_EVENTS: integer(
    1,
    1_000_000,
    10_000,
    'Most events in one request; never more than the channel holds (with `WORKERS`: the part of one).',
  ),
  IN_PROGRESS_MAX_BYTES: integer(
    KIB,
    16 * GIB,
    64 * MIB,
    'Bytes of all request bodies in progress, by their Content-Length (without one, `MAX_BODY_BYTES`); beyond that requests get 503.',
  ),
  CHANNEL_CAPACITY_EVENTS: integer(
    1,
    10_000_000,
    65_536,
    'Events that may wait for the log; beyond that requests get 503.',
  ),
  CHANNEL_CAPACITY_BYTES: integer(
    KIB,
    4 * GIB,
    32 * MIB,
    'Bytes that may wait for the log; beyond that requests get 503.',
  ),
  GROUP_MAX_BYTES: integer(4 * KIB, 64 * MIB, MIB, 'Most bytes that one sync commits.'),
  GROUP_LINGER_MS: integer(
    0,
    SECOND_MS,
    0,
    'How long a group waits for more before it is synced: fewer syncs and less CPU, for writes that take so much longer.',
  ),
  LOG_SEGMENT_BYTES: integer(
    64 * KIB,
    2 * GIB,
    64 * MIB,
    'Size at which a segment file is sealed and the next one begun; never more than a quarter of `LOG_MAX_BYTES`.',
  ),
  LOG_MAX_BYTES: integer(
    256 * KIB,
    1024 * GIB,
    8 * GIB,
    'Hard limit of all segment files; when sinks are too far behind, requests get 503.',
  ),
  LOG_RETENTION_MS: integer(0, 365 * DAY_MS, DAY_MS / 24, 'How long delivered segments are kept while there is room.'),
  DEDUPLICATION_WINDOW_EVENTS: integer(
    0,
    10_000_000,
    0,
    'Last events whose `source` and `id` are remembered: sent again, they are acknowledged and not stored (24–32 bytes each); 0 is off.',
  ),
  DEAD_LETTER_MAX_BYTES: integer(
    256 * KIB,
    1024 * GIB,
    GIB,
    'Hard limit of the dead letters of one sink; when full, that sink waits.',
  ),

  API_KEYS: names(
    'Bearer keys that may send, `name:key` separated by commas; the name appears in logs, the key never does. `name:sha256:HEX` is a key by its SHA-256, so that it stands nowhere in clear.',
  ),
  API_KEYS_FILE: text('', 'File with one `name:key` a line, instead of `API_KEYS`.'),
  ALLOW_ANONYMOUS: flag(false, 'Lets anyone send when no key is set although `HOST` is not loopback.'),
  RATE_LIMIT_REQUESTS_PER_SECOND: integer(
    0,
    1_000_000,
    0,
    'Requests a second for each key (without keys: each address); 0 is no limit.',
  ),
  QUOTA_EVENTS_PER_SECOND: integer(
    0,
    10_000_000,
    0,
    'Events a second for each key (without keys: each address), with bursts of ten seconds; 0 is no limit.',
  ),

  SINKS: list(
    SINK_NAMES,
    ['file'],
    'Where events go: `file`, `stdout`, `http`, `s3`, `postgres`; each has its own offset.',
  ),
  HANDLERS: names('Names from `app/handlers/index.ts` that every event passes through, in order.'),
  HANDLER_CONCURRENCY: integer(
    1,
    10_000,
    16,
    'Handlers that may run at once in one lane of a sink; events with the same key never do.',
  ),
  HANDLER_TIMEOUT_MS: integer(
    1,
    60 * 60 * SECOND_MS,
    30 * SECOND_MS,
    'Time for one call of one handler; beyond it the call has failed and is tried again like any other.',
  ),
  HANDLER_THREADS: integer(
    0,
    64,
    0,
    'Worker threads that handlers run on, for those that keep a CPU busy; 0 runs them where requests are served.',
  ),
  FILE_SINK_DIR: text('./data/delivered', 'Directory of the file sink; everything but `current.ndjson` is complete.'),
  FILE_SINK_ROLL_BYTES: integer(
    KIB,
    64 * GIB,
    64 * MIB,
    'Size at which the file sink closes a file and begins the next.',
  ),
  FILE_SINK_ROLL_MS: integer(SECOND_MS, 30 * DAY_MS, 60 * 60 * SECOND_MS, 'Age at which the file sink closes a file.'),
  HTTP_SINK_URL: text('', 'Where the http sink posts each event; needed when `SINKS` has `http`.'),
  HTTP_SINK_SECRET: text(
    '',
    'Standard Webhooks secret (`whsec_…`, base64) that signs each request; empty sends unsigned.',
  ),
  HTTP_SINK_TIMEOUT_MS: integer(10, 10 * 60 * SECOND_MS, 10 * SECOND_MS, 'Time for one request of the http sink.'),
  HTTP_SINK_CONCURRENCY: integer(
    1,
    1024,
    16,
    'Requests of the http sink at once; events with the same key stay in order.',
  ),
  S3_SINK_BUCKET: text(
    '',
    'Bucket of the s3 sink; needed when `SINKS` has `s3`. Credentials are found as AWS tools find them.',
  ),
  S3_SINK_PREFIX: text('events/', 'What every key begins with; ends with a slash, or is empty.'),
  S3_SINK_REGION: text('', 'Region of the bucket; empty: as AWS tools find it (`AWS_REGION`, a profile).'),
  S3_SINK_ENDPOINT: text('', 'URL of a store that speaks the protocol of S3; empty: AWS.'),
  S3_SINK_KMS_KEY_ID: text('', 'KMS key that objects are encrypted with; empty: as the bucket does it by default.'),
  S3_SINK_COMPRESSION: choice(['gzip', 'zstd'], 'gzip', 'How objects are compressed.'),
  S3_SINK_ROLL_BYTES: integer(
    64 * KIB,
    GIB,
    16 * MIB,
    'Compressed size of what is gathered at which the s3 sink writes objects. Up to three times that is in memory.',
  ),
  S3_SINK_ROLL_EVENTS: integer(1, 100_000_000, 1_000_000, 'Number of events gathered at which it writes objects.'),
  S3_SINK_ROLL_MS: integer(
    100,
    60 * 60 * SECOND_MS,
    30 * SECOND_MS,
    'Age of what is gathered at which it writes objects; events count as delivered then.',
  ),
  S3_SINK_TIMEOUT_MS: integer(100, 10 * 60 * SECOND_MS, 30 * SECOND_MS, 'Time for one request of the s3 sink.'),
  POSTGRES_SINK_URL: text(
    '',
    'Database of the postgres sink, `postgres://user@host:5432/database`; needed when `SINKS` has `postgres`.',
  ),
  POSTGRES_SINK_PASSWORD: text('', 'Password of that user, so that the URL need not hold it.'),
  POSTGRES_SINK_TLS: choice(
    ['auto', 'verify', 'off'],
    'auto',
    'TLS to the database: `verify` its certificate, `off`, or `auto`: `off` for one on this machine, else `verify`.',
  ),
  POSTGRES_SINK_CA_FILE: text('', 'PEM file of the certificates to trust; empty: those that Node trusts.'),
  POSTGRES_SINK_TABLE: text('events', 'Table, or `schema.table`; `npx millrace postgres migrate` makes it.'),
  POSTGRES_SINK_CONCURRENCY: integer(1, 64, 4, 'Statements of the postgres sink at once, each on its own connection.'),
  POSTGRES_SINK_TIMEOUT_MS: integer(
    100,
    10 * 60 * SECOND_MS,
    10 * SECOND_MS,
    'Time to connect to the database, and for one statement.',
  ),
  RETRY_BASE_MS: integer(
    1,
    60 * SECOND_MS,
    100,
    'Upper bound of the first wait before a retry; it doubles each time (full jitter).',
  ),
  RETRY_MAX_MS: integer(1, 60 * 60 * SECOND_MS, 30 * SECOND_MS, 'Upper bound of any wait before a retry.'),
  RETRY_MAX_ATTEMPTS: integer(
    1,
    1000,
    10,
    'Attempts for an event that a handler or sink fails on, then it is a dead letter. A sink that cannot be reached is retried for ever.',
  ),

  SHUTDOWN_GRACE_MS: integer(
    0,
    10 * 60 * SECOND_MS,
    SECOND_MS,
    'After SIGTERM: how long readiness already fails while requests are still served.',
  ),
  SHUTDOWN_DRAIN_MS: integer(
    0,
    10 * 60 * SECOND_MS,
    10 * SECOND_MS,
    'After that: how long sinks may go on delivering what is in the log; the rest is delivered after the next start.',
  ),
}
export const VARIABLES: Readonly<Record<string, Variable>> = SCHEMA

type Values = { readonly [Name in keyof typeof SCHEMA]: (typeof SCHEMA)[Name]['default'] }

export type Config = Values & {
  /** Client name → SHA-256 of its key, in hex. */
  readonly apiKeys: ReadonlyMap<string, string>
}

/**
 * The variables a container may be given: what `infra/` types its task definitions with.
 * @public
 */
export type Environment = Partial<Record<keyof Values, string>>

/**
 * Reads and checks the environment.
 * @throws MillraceError CONFIG_INVALID: one line that names the variable, what is wrong and what it may be.
 */
export function loadConfig(environment: NodeJS.ProcessEnv): Config {
  const values: Record<string, unknown> = {}
  for (const [name, variable] of Object.entries(VARIABLES)) {
    const given = environment[name]
    values[name] = given === undefined || given === '' ? variable.default : convert(name, variable, given)
  }
  const config = values as Values // each value was converted by its own schema
  const apiKeys = readKeys(config.API_KEYS, config.API_KEYS_FILE)
  checkTogether(config, apiKeys)
  // The keys live in one place only: nothing that prints the config can print them.
  return Object.freeze({ ...config, API_KEYS: [], apiKeys })
}

/**
 * `config` with other values for some variables, checked like the environment.
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

function convert(name: string, variable: Variable, given: string): unknown {
  const shown = /KEY|SECRET|TOKEN|PASSWORD|POSTGRES_SINK_URL/.test(name) ? 'the given value' : JSON.stringify(given)
  const fail = (wanted: string) => invalid(name, `${shown} is not ${wanted}. ${variable.description}`)
  if (variable.enum) {
    if (!variable.enum.includes(given)) throw fail(`one of ${variable.enum.join(', ')}`)
    return given
  }
  switch (variable.type) {
    case 'integer': {
      const { minimum = 0, maximum = Number.MAX_SAFE_INTEGER } = variable
      const value = /^\d+$/.test(given) ? Number(given) : Number.NaN
      if (!(value >= minimum && value <= maximum)) throw fail(`a whole number from ${minimum} to ${maximum}`)
      return value
    }
    case 'boolean':
      if (given !== 'true' && given !== 'false') throw fail('true or false')
      return given === 'true'
    case 'array': {
      const items = given.split(',').map((item) => item.trim())
      const known = variable.items?.enum ?? []
      const unknown = items.find((item) => item === '' || (known.length > 0 && !known.includes(item)))
      if (unknown !== undefined)
        throw fail(`a list of ${known.length > 0 ? known.join(', ') : 'names'}, separated by commas`)
      if (new Set(items).size < items.length) throw fail('a list without repetitions')
      return items
    }
    default:
      return given
  }
}

/** @returns client name → SHA-256 of its key, in hex: the keys themselves are kept nowhere. */
function readKeys(inline: readonly string[], path: string): Map<string, string> {
  if (inline.length > 0 && path !== '') throw invalid('API_KEYS_FILE', 'API_KEYS is set as well: use one of them')
  const name = path === '' ? 'API_KEYS' : 'API_KEYS_FILE'
  let entries = inline
  if (path !== '') {
    try {
      entries = readFileSync(path, 'utf8')
        .split('\n')
        .map((line) => line.trim())
        .filter((line) => line !== '' && !line.startsWith('#'))
    } catch (error) {
      throw invalid(name, `cannot read it (${messageOf(error)})`)
    }
    if (entries.length === 0) throw invalid(name, `${path} holds no key: write one "name:key" a line`)
  }
  const keys = new Map<string, string>()
  for (const [at, entry] of entries.entries()) {
    const [, client, key] = /^([\w-]{1,64}):([\x21-\x7e]{16,512})$/.exec(entry) ?? []
    if (client === undefined || key === undefined) {
      throw invalid(name, `entry ${at + 1} is not "name:key" with a key of 16 to 512 printable characters`)
    }
    if (keys.has(client)) throw invalid(name, `entry ${at + 1} repeats the name ${client}`)
    keys.set(client, (/^sha256:([\da-f]{64})$/i.exec(key)?.[1] ?? hash('sha256', key)).toLowerCase())
  }
  return keys
}

const LOOPBACK = /^(127\.\d+\.\d+\.\d+|::1|localhost)$/

export function isLoopback(host: string): boolean {
  return LOOPBACK.test(host)
}

/** An event is written out for a dead letter, where `1e20` has 21 digits; and there is why it failed. */
export const MAX_LETTER_GROWTH = 5

/** What no single variable can get wrong. */
function checkTogether(config: Values, apiKeys: ReadonlyMap<string, string>): void {
  if (apiKeys.size === 0 && !isLoopback(config.HOST) && !config.ALLOW_ANONYMOUS) {
    throw invalid(
      'HOST',
      `${config.HOST} is open to others and no key is set: set API_KEYS or API_KEYS_FILE, or ALLOW_ANONYMOUS=true`,
    )
  }
  if (config.ROLE !== 'all' && config.LOG_ENGINE !== 'kafka') {
    throw invalid('ROLE', `${config.ROLE} shares its log with other processes: that needs LOG_ENGINE=kafka`)
  }
  if (config.LOG_ENGINE === 'kafka') checkKafka(config)
  if (config.LOG_ENGINE === 'kafka' && config.DEDUPLICATION_WINDOW_EVENTS > 0) {
    throw invalid(
      'DEDUPLICATION_WINDOW_EVENTS',
      'around Kafka several processes write, and none knows what the others have stored: leave it at 0; the postgres and s3 sinks keep each event once',
    )
  }
  for (const name of ['CHANNEL_CAPACITY_BYTES', 'IN_PROGRESS_MAX_BYTES'] as const) {
    const each = config.WORKERS === 1 ? '' : ` in each of WORKERS=${config.WORKERS} threads`
    if (config[name] < config.WORKERS * config.MAX_BODY_BYTES) {
      throw invalid(name, `${config[name]} cannot hold one body of MAX_BODY_BYTES=${config.MAX_BODY_BYTES}${each}`)
    }
  }
  const letterBytes = MAX_LETTER_GROWTH * config.MAX_BODY_BYTES
  if (config.DEAD_LETTER_MAX_BYTES < letterBytes) {
    throw invalid(
      'DEAD_LETTER_MAX_BYTES',
      `${config.DEAD_LETTER_MAX_BYTES} may not hold one event of MAX_BODY_BYTES=${config.MAX_BODY_BYTES} with why it failed, and its sink would wait for ever: at least ${letterBytes}`,
    )
  }
  if (config.CHANNEL_CAPACITY_EVENTS < config.WORKERS) {
    throw invalid(
      'CHANNEL_CAPACITY_EVENTS',
      `${config.CHANNEL_CAPACITY_EVENTS} are less than WORKERS=${config.WORKERS}`,
    )
  }
  if (config.SINKS.includes('http') && !URL.canParse(config.HTTP_SINK_URL)) {
    throw invalid(
      'HTTP_SINK_URL',
      'SINKS has http: set it to the URL that takes the events, such as https://example.com/hook',
    )
  }
  if (config.HTTP_SINK_URL !== '' && !/^https?:$/.test(URL.parse(config.HTTP_SINK_URL)?.protocol ?? '')) {
    throw invalid('HTTP_SINK_URL', 'it must begin with http:// or https://')
  }
  const { username, password } = URL.parse(config.HTTP_SINK_URL) ?? {}
  if (username || password) {
    throw invalid(
      'HTTP_SINK_URL',
      'it holds a user or a password, which no request can carry: sign with HTTP_SINK_SECRET',
    )
  }
  if (config.SINKS.includes('s3')) checkS3(config)
  if (config.SINKS.includes('postgres')) checkPostgres(config)
  const secret = config.HTTP_SINK_SECRET
  if (secret !== '' && !/^(whsec_)?(?!$)([A-Za-z\d+/]{4})*([A-Za-z\d+/]{2}==|[A-Za-z\d+/]{3}=)?$/.test(secret)) {
    const wanted = 'base64 with its padding, of one byte or more, with or without "whsec_" before it'
    throw invalid('HTTP_SINK_SECRET', `the given value is not ${wanted}`)
  }
}

function checkS3(config: Values): void {
  const { S3_SINK_BUCKET: bucket, S3_SINK_PREFIX: prefix, S3_SINK_ENDPOINT: endpoint } = config
  if (!/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/.test(bucket)) {
    throw invalid('S3_SINK_BUCKET', `SINKS has s3: ${JSON.stringify(bucket)} is not the name of a bucket`)
  }
  // The rest of a key takes up to 500 bytes of S3's 1,024.
  if (prefix.length > 400 || !/^((?!\.{1,2}\/)[\w!.*'()=-]{1,255}\/)*$/.test(prefix)) {
    const parts = "its parts have up to 255 letters, digits and !.*'()=_-, all of it 400"
    throw invalid(
      'S3_SINK_PREFIX',
      `${JSON.stringify(prefix)} must end with a slash, like "events/", or be empty: ${parts}`,
    )
  }
  if (endpoint !== '' && !/^https?:$/.test(URL.parse(endpoint)?.protocol ?? '')) {
    throw invalid('S3_SINK_ENDPOINT', 'it must begin with http:// or https://')
  }
}

function checkPostgres({ POSTGRES_SINK_URL: url, POSTGRES_SINK_TABLE: table }: Values): void {
  // Never shown: it may hold a password.
  if (!/^postgres(ql)?:$/.test(URL.parse(url)?.protocol ?? '')) {
    throw invalid('POSTGRES_SINK_URL', 'SINKS has postgres: set it to postgres://user@host:5432/database')
  }
  // Names that need no quotes, with room for the names of partitions in PostgreSQL's 63 characters.
  if (!/^[a-z_][a-z0-9_]{0,50}(\.[a-z_][a-z0-9_]{0,50})?$/.test(table)) {
    throw invalid('POSTGRES_SINK_TABLE', `${JSON.stringify(table)} is not a table: use up to 51 of a-z, 0-9 and _`)
  }
}

function checkKafka(config: Values): void {
  const { KAFKA_BROKERS: brokers, KAFKA_AUTH: auth } = config
  if (brokers.length === 0) throw invalid('KAFKA_BROKERS', 'LOG_ENGINE is kafka: name some brokers, host:port')
  const odd = brokers.find((broker) => !/^(\[[\da-f:.]+\]|[\w.-]+):\d{1,5}$/i.test(broker))
  if (odd !== undefined) throw invalid('KAFKA_BROKERS', `${JSON.stringify(odd)} is not host:port`)
  for (const name of ['KAFKA_TOPIC', 'KAFKA_GROUP'] as const) {
    // Room for what is put behind it: Kafka's limit is 249.
    if (!/^(?!\.{1,2}$)[\w.-]{1,200}$/.test(config[name]))
      throw invalid(name, 'use 1 to 200 letters, digits, dots, _ and -, and more than one or two dots')
  }
  if (config.KAFKA_MIN_IN_SYNC > config.KAFKA_REPLICATION) {
    throw invalid(
      'KAFKA_MIN_IN_SYNC',
      `${config.KAFKA_MIN_IN_SYNC} copies cannot be in sync where there are KAFKA_REPLICATION=${config.KAFKA_REPLICATION}`,
    )
  }
  const needed = { mtls: ['KAFKA_CERT_FILE', 'KAFKA_KEY_FILE'], 'msk-iam': ['KAFKA_AWS_REGION'] } as const
  const scram = ['KAFKA_USERNAME', 'KAFKA_PASSWORD'] as const
  const wanted = auth.startsWith('scram') ? scram : auth === 'mtls' || auth === 'msk-iam' ? needed[auth] : []
  for (const name of wanted) if (config[name] === '') throw invalid(name, `KAFKA_AUTH=${auth} needs it`)
}

/** One line, whatever stands in the value. */
function invalid(name: string, problem: string): MillraceError {
  const shown = problem.replaceAll(/[\p{Cc}\u2028\u2029]+/gu, ' ')
  return new MillraceError('CONFIG_INVALID', `${name}: ${shown}`)
}
