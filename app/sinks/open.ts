/** Opens the sink that a route names: one of ours, loaded only when it is used, or one of the user's own. */
import type { Config } from '../config.ts'
import { MillraceError, messageOf } from '../errors.ts'
import type { ConnectionOptions } from './postgres/connection.ts'
import type { Sink, SinkContext, SinkFactory } from './sink.ts'
import type { SinkName } from './variables.ts'

/** Most connections of the SDK, enough that multipart uploads do not wait. */
const S3_CONNECTIONS = 50

/** An assumption: how many connections a user's own sink opens is not known before it is used. */
const OWN_SINK_CONNECTIONS = 16
const MAX_CONCURRENCY = 1024

/** The sink of a route. */
export interface SinkToOpen {
  readonly sink: string
  /** Set for a user's own sink. */
  readonly own?: OwnSink | undefined
  readonly config: Config
}

export interface OwnSink {
  readonly create: SinkFactory
  readonly options: Readonly<Record<string, unknown>>
  /** Its name in messages. */
  readonly shownAs: string
}

/** @throws MillraceError when the sink cannot be opened. */
export async function openSink({ sink, own, config }: SinkToOpen, context: SinkContext): Promise<Sink> {
  return own === undefined ? openBuiltIn(sink as SinkName, config, context) : openOwn(own, context)
}

async function openOwn({ create, options, shownAs }: OwnSink, context: SinkContext): Promise<Sink> {
  let made: Sink
  try {
    made = await create({ ...context, options })
  } catch (cause) {
    throw new MillraceError('CONFIG_INVALID', `${shownAs} cannot be made: ${messageOf(cause)}`, { cause })
  }
  const fault = faultOf(made)
  if (fault !== undefined)
    throw new MillraceError('CONFIG_INVALID', `${shownAs} made something that is not a sink: ${fault}`)
  return made
}

/** Why delivery cannot use the sink; undefined if it can. */
function faultOf(made: Partial<Sink> | undefined): string | undefined {
  if (typeof made !== 'object' || made === null) return 'it returned no object'
  for (const method of ['write', 'close'] as const) {
    if (typeof made[method] !== 'function') return `${method} must be a method that returns a promise`
  }
  const { concurrency, maxBatchEvents } = made
  if (!isBetween(concurrency, MAX_CONCURRENCY)) return `concurrency must be a whole number from 1 to ${MAX_CONCURRENCY}`
  if (!isBetween(maxBatchEvents, Number.MAX_SAFE_INTEGER)) return 'maxBatchEvents must be a whole number of 1 or more'
  return undefined
}

function isBetween(value: unknown, maximum: number): boolean {
  return Number.isSafeInteger(value) && Number(value) >= 1 && Number(value) <= maximum
}

async function openBuiltIn(sink: SinkName, config: Config, context: SinkContext): Promise<Sink> {
  switch (sink) {
    case 'file': {
      const { FileSink } = await import('./file.ts')
      return FileSink.open({
        directory: config.FILE_SINK_DIR,
        rollBytes: config.FILE_SINK_ROLL_BYTES,
        rollMs: config.FILE_SINK_ROLL_MS,
        onWarning: context.onWarning,
        onFailure: context.onFailure,
      })
    }
    case 'stdout': {
      const { StdoutSink } = await import('./stdout.ts')
      return new StdoutSink()
    }
    case 'http': {
      const { HttpSink } = await import('./http.ts')
      return new HttpSink({
        url: config.HTTP_SINK_URL,
        secret: config.HTTP_SINK_SECRET,
        timeoutMs: config.HTTP_SINK_TIMEOUT_MS,
        concurrency: config.HTTP_SINK_CONCURRENCY,
      })
    }
    case 's3': {
      const { S3Sink } = await import('./s3/s3-sink.ts')
      return new S3Sink({
        ...context,
        bucket: config.S3_SINK_BUCKET,
        prefix: config.S3_SINK_PREFIX,
        region: config.S3_SINK_REGION,
        endpoint: config.S3_SINK_ENDPOINT,
        kmsKeyId: config.S3_SINK_KMS_KEY_ID,
        timeoutMs: config.S3_SINK_TIMEOUT_MS,
        compression: config.S3_SINK_COMPRESSION,
        rollBytes: config.S3_SINK_ROLL_BYTES,
        rollEvents: config.S3_SINK_ROLL_EVENTS,
        rollMs: config.S3_SINK_ROLL_MS,
      })
    }
    case 'postgres': {
      const { PostgresSink } = await import('./postgres/postgres-sink.ts')
      return PostgresSink.open({
        ...postgresConnection(config),
        table: config.POSTGRES_SINK_TABLE,
        concurrency: config.POSTGRES_SINK_CONCURRENCY,
        onWarning: context.onWarning,
      })
    }
  }
}

/** Files and connections that the sink may have open at the same time, including a replay beside its lanes. */
export function filesOf({ sink, own, config }: SinkToOpen): number {
  if (own !== undefined) return OWN_SINK_CONNECTIONS
  switch (sink) {
    case 'http':
      return config.HTTP_SINK_CONCURRENCY + 1
    case 'postgres':
      return config.POSTGRES_SINK_CONCURRENCY + 1
    case 's3':
      return S3_CONNECTIONS
    default:
      return 2
  }
}

export function postgresConnection(config: Config): ConnectionOptions {
  return {
    url: config.POSTGRES_SINK_URL,
    password: config.POSTGRES_SINK_PASSWORD,
    tls: config.POSTGRES_SINK_TLS,
    caFile: config.POSTGRES_SINK_CA_FILE,
    timeoutMs: config.POSTGRES_SINK_TIMEOUT_MS,
  }
}
