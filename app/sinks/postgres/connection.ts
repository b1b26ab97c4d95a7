/** How to connect to PostgreSQL: the options that a pool and a single client share. */
import { readFileSync } from 'node:fs'
import type { ClientConfig } from 'pg'
import { MillraceError, messageOf } from '../../errors.ts'
import { isLoopback } from '../../process/listen.ts'

export interface ConnectionOptions {
  /** `postgres://user@host:5432/database`; `?host=/run/postgresql` for a socket. No other parameters. */
  readonly url: string
  /** Empty: the password in the URL. */
  readonly password: string
  /** `auto`: `verify` unless the server is on this machine. */
  readonly tls: 'auto' | 'verify' | 'off'
  /** PEM file of the certificates to trust; empty: those that Node trusts. */
  readonly caFile: string
  /** Timeout to connect, and for one statement, milliseconds. */
  readonly timeoutMs: number
}

/** @throws MillraceError CONFIG_INVALID; its message never shows the URL, which may hold a password. */
export function clientConfig({ url, password, tls, caFile, timeoutMs }: ConnectionOptions): ClientConfig {
  const { protocol, hostname, port, username, password: own, pathname, searchParams } = parse(url)
  if (!/^postgres(ql)?:$/.test(protocol)) throw invalid('URL', 'it must begin with postgres://')
  const [odd] = [...searchParams.keys()].filter((name) => name !== 'host')
  if (odd?.startsWith('ssl')) throw invalid('URL', `leave out ${odd}: POSTGRES_SINK_TLS says it`)
  if (odd !== undefined) throw invalid('URL', `it has a parameter that is not known here: ${odd}`)
  const host = searchParams.get('host') ?? hostname.replaceAll(/[[\]]/g, '')
  if (host === '' || username === '' || pathname.length < 2) {
    throw invalid('URL', 'it must name a user, a host and a database: postgres://user@host:5432/database')
  }
  const isHere = host.startsWith('/') || isLoopback(host)
  const encrypted = tls === 'verify' || (tls === 'auto' && !isHere)
  return {
    host,
    port: port === '' ? 5432 : Number(port),
    user: decode(username, 'user'),
    password: password === '' ? decode(own, 'password') : password,
    database: decode(pathname.slice(1), 'database'),
    application_name: 'millrace',
    ssl: encrypted && { rejectUnauthorized: true, ...(caFile !== '' && { ca: read(caFile) }) },
    connectionTimeoutMillis: timeoutMs,
    // Do not set server limits here: poolers refuse them as connection parameters (PgBouncer: statement_timeout).
    query_timeout: timeoutMs,
    keepAlive: true,
  }
}

function parse(url: string): URL {
  try {
    return new URL(url)
  } catch {
    throw invalid('URL', 'set it to postgres://user@host:5432/database')
  }
}

function decode(text: string, part: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw invalid('URL', `a percent sign in its ${part} is followed by no two hexadecimal digits: write it as %25`)
  }
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    throw invalid('CA_FILE', `cannot read it (${messageOf(error)})`)
  }
}

function invalid(name: string, problem: string): MillraceError {
  return new MillraceError('CONFIG_INVALID', `POSTGRES_SINK_${name}: ${problem}`)
}
