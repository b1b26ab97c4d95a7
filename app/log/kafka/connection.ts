/**
 * How to reach the brokers: addresses, encryption and authentication.
 *
 * Each kind of work has its own client, and so its own connections. A broker answers the requests of one connection in
 * order. So on a shared connection, a fetch that waits for events would delay heartbeats and commits.
 */
import { readFileSync } from 'node:fs'
import type { ConnectionOptions } from 'node:tls'
import type { BaseOptions, ConnectionPool, SASLOptions } from '@platformatic/kafka'
import { MillraceError, messageOf } from '../../errors.ts'

export interface KafkaConnection {
  /** `host:port` of some brokers, which tell us the others. */
  readonly brokers: readonly string[]
  /** All but `none` are encrypted (TLS). */
  readonly auth: 'none' | 'tls' | 'mtls' | 'scram-sha-256' | 'scram-sha-512' | 'msk-iam'
  /** User for `scram-…`. */
  readonly username: string
  readonly password: string
  /** PEM files: certificates to trust (empty: those that Node trusts), and for `mtls` our certificate and its key. */
  readonly caFile: string
  readonly certFile: string
  readonly keyFile: string
  /** Region for `msk-iam`. */
  readonly awsRegion: string
  /** Timeout of one request, milliseconds. */
  readonly requestTimeoutMs: number
}

/** Delays between the attempts of one request. Together they are long enough to elect a leader. */
const RETRY_DELAYS_MS = [50, 100, 200, 400, 800, 1600, 3200]

/** Options for any client of @platformatic/kafka. */
export function clientOptions(connection: KafkaConnection, purpose: string): BaseOptions {
  const tls = tlsOptions(connection)
  const sasl = saslOptions(connection)
  return {
    clientId: `millrace-${purpose}`,
    bootstrapBrokers: [...connection.brokers],
    connectTimeout: Math.min(connection.requestTimeoutMs, 5000),
    requestTimeout: connection.requestTimeoutMs,
    timeout: connection.requestTimeoutMs,
    maxInflights: 64,
    retries: RETRY_DELAYS_MS.length,
    retryDelay: (_client, _operation, attempt) => RETRY_DELAYS_MS[attempt - 1] ?? 0,
    ...(tls && { tls }),
    ...(sasl && { sasl }),
  }
}

/**
 * Adds an error listener to each connection. The client listens for the first error only. A second one, such as a reset
 * after a refused authentication, would end the process. The caller of a request on that connection gets the error
 * anyway.
 */
export function surviveErrors({ connections }: { readonly connections: ConnectionPool }): void {
  connections.on('connecting', ({ connection }) => connection.on('error', () => undefined))
}

function tlsOptions({ auth, caFile, certFile, keyFile }: KafkaConnection): ConnectionOptions | undefined {
  if (auth === 'none') return undefined
  return {
    ...(caFile !== '' && { ca: readPem('KAFKA_CA_FILE', caFile) }),
    ...(auth === 'mtls' && { cert: readPem('KAFKA_CERT_FILE', certFile), key: readPem('KAFKA_KEY_FILE', keyFile) }),
  }
}

function saslOptions({ auth, username, password, awsRegion }: KafkaConnection): SASLOptions | undefined {
  switch (auth) {
    case 'scram-sha-256':
      return { mechanism: 'SCRAM-SHA-256', username, password }
    case 'scram-sha-512':
      return { mechanism: 'SCRAM-SHA-512', username, password }
    case 'msk-iam':
      // The client asks for a new token before the broker's session ends. A token is valid for 15 minutes.
      return { mechanism: 'OAUTHBEARER', token: () => mskToken(awsRegion) }
    default:
      return undefined
  }
}

/** A token signed with the default credential chain: on ECS the task's role, on a laptop the profile or variables. */
async function mskToken(region: string): Promise<string> {
  const { generateAuthToken } = await import('aws-msk-iam-sasl-signer-js')
  const { token } = await generateAuthToken({ region })
  return token
}

function readPem(variable: string, path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    throw new MillraceError('CONFIG_INVALID', `${variable}: cannot read ${path} (${messageOf(error)})`)
  }
}
