/**
 * How to reach the brokers: addresses, encryption and who we are.
 *
 * Each kind of work has a client, and so connections, of its own: a broker answers the requests of one connection in
 * order, and a fetch that waits for events must not hold up a heartbeat or a commit.
 */
import { readFileSync } from 'node:fs'
import type { ConnectionOptions } from 'node:tls'
import type { BaseOptions, ConnectionPool, SASLOptions } from '@platformatic/kafka'
import { MillraceError, messageOf } from '../../errors.ts'

export interface KafkaConnection {
  /** `host:port` of some brokers; they name the others. */
  readonly brokers: readonly string[]
  /** Everything but `none` is encrypted (TLS). */
  readonly auth: 'none' | 'tls' | 'mtls' | 'scram-sha-256' | 'scram-sha-512' | 'msk-iam'
  /** Of `scram-…`. */
  readonly username: string
  readonly password: string
  /** PEM files: certificates to trust (empty: those Node trusts), and of `mtls` our certificate and its key. */
  readonly caFile: string
  readonly certFile: string
  readonly keyFile: string
  /** Of `msk-iam`. */
  readonly awsRegion: string
  /** Most time for one request, milliseconds. */
  readonly requestTimeoutMs: number
}

/** Waits before the attempts of one request: a leader is elected within seconds. */
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
 * The client listens for the first error of a connection only. A second one, such as a reset after a refused sign-in,
 * would have no listener and end the process; the caller of a request on that connection is told anyway.
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
      // Asked for again before the broker's session ends: a token lives for 15 minutes.
      return { mechanism: 'OAUTHBEARER', token: () => mskToken(awsRegion) }
    default:
      return undefined
  }
}

/** Signed with the default credential chain: on ECS the task's role, on a laptop the profile or the variables. */
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
