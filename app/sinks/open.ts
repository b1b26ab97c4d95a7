/** Which sink: its name in a route → the implementation, loaded only when it is used. */
import type { Config } from '../config.ts'
import type { ConnectionOptions } from './postgres/connection.ts'
import type { Sink } from './sink.ts'
import type { SinkName } from './variables.ts'

/** What the SDK opens at most, so that uploads in parts do not wait. */
const S3_CONNECTIONS = 50

export interface SinkContext {
  /** Of the route. */
  readonly name: string
  /** Wait after the `attempt`th failure, milliseconds. */
  readonly backoffMs: (attempt: number) => number
  readonly onWarning: (message: string) => void
  /** Called once when only a restart helps. */
  readonly onFailure: (error: Error) => void
}

export async function openSink(sink: SinkName, config: Config, context: SinkContext): Promise<Sink> {
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

/** Files and connections that it may have open at once, a replay beside its lanes included. */
export function filesOf(sink: SinkName, config: Config): number {
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
