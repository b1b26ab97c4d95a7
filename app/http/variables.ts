/** Variables of the public listener: where it listens, who may send, how much. */
import { isIPv4, isIPv6 } from 'node:net'
import { isLoopback } from '../process/listen.ts'
import { choice, flag, GIB, integer, invalid, KIB, list, MIB, names, text, type ValuesOf } from '../variable.ts'

export const HTTP_VARIABLES = {
  HOST: text('127.0.0.1', 'Address of the public listener.'),
  PORT: integer(0, 65_535, 3000, 'Port of the public listener; 0: any free port.'),
  WORKERS: integer(
    1,
    64,
    1,
    'Threads that accept events; 1: only the main thread. More threads share the port (Linux) and the capacities; one writes the log. About 50 MB each.',
  ),
  ACK: choice(
    ['durable', 'memory'],
    'durable',
    'When a request is answered. `durable`: after its synced write. `memory`: once queued, as the answer says; a crash loses events not yet written.',
  ),
  MAX_BODY_BYTES: integer(
    KIB,
    64 * MIB,
    MIB,
    'Largest request body, before and after decompression. As stored, its events may take twice that.',
  ),
  MAX_REQUEST_EVENTS: integer(
    1,
    1_000_000,
    10_000,
    'Most events in one request; at most the capacity of the channel (with `WORKERS`: the share of one thread).',
  ),
  IN_PROGRESS_MAX_BYTES: integer(
    KIB,
    16 * GIB,
    64 * MIB,
    'Limit of all request bodies in progress, by their Content-Length (without one: `MAX_BODY_BYTES`); further requests get 503.',
  ),
  API_KEYS: names(
    'Bearer keys of clients, `name:key` separated by commas; the name appears in logs, the key never does. `name:sha256:HEX` gives the SHA-256 of a key instead of the key. After the key, `type=PATTERN` and `source=PATTERN`, separated by spaces, limit the events that it may send. A key that begins with `pk_` is public, for web pages: it needs `type=`, `origin=https://HOST` and `rate=N`, events a second. `name:cert:NAME` is a client with a certificate of this name instead of a key: see `TLS_CLIENT_CA_FILE`.',
  ),
  API_KEYS_FILE: text(
    '',
    'File with one `name:key` a line, instead of `API_KEYS`. Read again when it changes, and at SIGHUP.',
  ),
  AUTH_JWKS_URL: text(
    '',
    'URL of the JWK Set of an OpenID Connect or OAuth issuer, https (http on loopback). Clients may then also send with its tokens (JWT).',
  ),
  AUTH_ISSUER: text('', 'Required `iss` of a token.'),
  AUTH_AUDIENCE: text('', 'Required `aud` of a token; a list must contain it.'),
  AUTH_CLIENT_CLAIM: text('sub', 'Claim of a token that names the client, for limits, the log and `STAMP_CLIENT`.'),
  AUTH_CLIENT_TYPE: choice(
    ['service_account', 'user', 'app_user'],
    'service_account',
    'Type of the clients with tokens: `authtype` of their events.',
  ),
  AUTH_SCOPE_CLAIM: text(
    '',
    'Claim with words `type=PATTERN` and `source=PATTERN` that limit what a token may send; without any: nothing. Empty: tokens may send any event.',
  ),
  STAMP_CLIENT: choice(
    ['none', 'authid'],
    'none',
    '`authid`: each event gets `authtype` and `authid` of its client (CloudEvents auth context); an event that brings its own is rejected.',
  ),
  STAMP_SENDER: list(
    ['address', 'useragent'],
    [],
    'Each event gets `clientaddress` and `useragent` of its sender; an event that brings its own is rejected. Personal data: see docs/send.md.',
  ),
  TRUSTED_PROXIES: names(
    'Addresses and CIDR ranges of the proxies in front, such as `10.0.0.0/16`. Their `X-Forwarded-For` names the sender. Empty: it is ignored.',
  ),
  TLS_CERT_FILE: text(
    '',
    'PEM file of the certificate chain, own certificate first. If set, the public listener accepts only HTTPS. Read again when it changes, and at SIGHUP.',
  ),
  TLS_KEY_FILE: text('', 'PEM file of the private key of that certificate, without a passphrase. Read again with it.'),
  TLS_CLIENT_CA_FILE: text(
    '',
    'PEM file of authorities. If set, each client, also a health check, needs a certificate signed by one of them. Read again when it changes.',
  ),
  TLS_SELF_SIGNED: flag(
    false,
    'HTTPS with a certificate that is made at each start, for a load balancer that does not verify it, such as that of AWS. Clients refuse it.',
  ),
  ALLOW_ANONYMOUS: flag(false, 'Accepts events from anyone when no key is set and `HOST` is not loopback.'),
  RATE_LIMIT_REQUESTS_PER_SECOND: integer(
    0,
    1_000_000,
    0,
    'Requests a second for each key (without keys: each address); 0: no limit.',
  ),
  QUOTA_EVENTS_PER_SECOND: integer(
    0,
    10_000_000,
    0,
    'Events a second for each key (without keys: each address), with bursts of ten seconds; 0: no limit.',
  ),
}

/** What is needed of an API key here. */
interface KnownBy {
  readonly certificate?: unknown
}

export function checkHttp(
  config: ValuesOf<typeof HTTP_VARIABLES> & {
    readonly CHANNEL_CAPACITY_EVENTS: number
    readonly CHANNEL_CAPACITY_BYTES: number
  },
  apiKeys: ReadonlyMap<string, KnownBy>,
): void {
  const needsCredentials = apiKeys.size > 0 || config.AUTH_JWKS_URL !== ''
  const knowsClients = needsCredentials || config.TLS_CLIENT_CA_FILE !== ''
  if (!knowsClients && !isLoopback(config.HOST) && !config.ALLOW_ANONYMOUS) {
    throw invalid(
      'HOST',
      `${config.HOST} is open to others and no key is set: set API_KEYS or API_KEYS_FILE, or ALLOW_ANONYMOUS=true`,
    )
  }
  if (config.STAMP_CLIENT !== 'none' && !knowsClients) {
    const ways = 'API_KEYS, API_KEYS_FILE, AUTH_JWKS_URL or TLS_CLIENT_CA_FILE'
    throw invalid('STAMP_CLIENT', `clients have no name: set ${ways}`)
  }
  checkCertificates(config, apiKeys)
  checkTrustedProxies(config.TRUSTED_PROXIES)
  checkTlsFiles(config)
  checkIssuer(config)
  for (const name of ['CHANNEL_CAPACITY_BYTES', 'IN_PROGRESS_MAX_BYTES'] as const) {
    const each = config.WORKERS === 1 ? '' : ` in each of WORKERS=${config.WORKERS} threads`
    if (config[name] < config.WORKERS * config.MAX_BODY_BYTES) {
      throw invalid(name, `${config[name]} cannot hold one body of MAX_BODY_BYTES=${config.MAX_BODY_BYTES}${each}`)
    }
  }
  if (config.CHANNEL_CAPACITY_EVENTS < config.WORKERS) {
    throw invalid('CHANNEL_CAPACITY_EVENTS', `${config.CHANNEL_CAPACITY_EVENTS} is less than WORKERS=${config.WORKERS}`)
  }
}

/** Without authorities no client is asked for a certificate. */
function checkCertificates(
  { TLS_CLIENT_CA_FILE, API_KEYS_FILE }: ValuesOf<typeof HTTP_VARIABLES>,
  apiKeys: ReadonlyMap<string, KnownBy>,
): void {
  const [name] = [...apiKeys].find(([, { certificate }]) => certificate !== undefined) ?? []
  if (name === undefined || TLS_CLIENT_CA_FILE !== '') return
  const variable = API_KEYS_FILE === '' ? 'API_KEYS' : 'API_KEYS_FILE'
  throw invalid(variable, `${name} is known by a certificate: set TLS_CLIENT_CA_FILE, the authorities that sign those`)
}

function checkTlsFiles(config: ValuesOf<typeof HTTP_VARIABLES>): void {
  const needs = (
    name: 'TLS_CERT_FILE' | 'TLS_KEY_FILE',
    other: 'TLS_KEY_FILE' | 'TLS_CERT_FILE' | 'TLS_CLIENT_CA_FILE',
  ) => {
    if (config[name] === '' && config[other] !== '') throw invalid(other, `it needs ${name} as well: set both`)
  }
  needs('TLS_CERT_FILE', 'TLS_KEY_FILE')
  needs('TLS_KEY_FILE', 'TLS_CERT_FILE')
  needs('TLS_CERT_FILE', 'TLS_CLIENT_CA_FILE')
  if (config.TLS_SELF_SIGNED && config.TLS_CERT_FILE !== '') {
    throw invalid('TLS_SELF_SIGNED', 'TLS_CERT_FILE is set as well: use one of them')
  }
}

function checkIssuer(config: ValuesOf<typeof HTTP_VARIABLES>): void {
  const { AUTH_JWKS_URL } = config
  if (AUTH_JWKS_URL === '') return
  const url = URL.parse(AUTH_JWKS_URL)
  const isPrivate = url?.protocol === 'http:' && isLoopback(url.hostname.replace(/^\[|\]$/g, ''))
  if (url?.protocol !== 'https:' && !isPrivate) {
    throw invalid('AUTH_JWKS_URL', 'it must begin with https://, or with http:// on this machine')
  }
  if (url.username !== '' || url.password !== '') {
    throw invalid('AUTH_JWKS_URL', 'it holds a user or a password, which no request can carry: leave it out')
  }
  for (const name of ['AUTH_ISSUER', 'AUTH_AUDIENCE', 'AUTH_CLIENT_CLAIM'] as const) {
    if (config[name] === '') throw invalid(name, 'AUTH_JWKS_URL needs it: tokens for others would be taken')
  }
}

/** @throws MillraceError CONFIG_INVALID for what is no IP address and no CIDR range. */
function checkTrustedProxies(proxies: readonly string[]): void {
  for (const proxy of proxies) {
    const [, address = '', prefix] = /^((?!::ffff:)[^/%]+)(?:\/(\d{1,3}))?$/i.exec(proxy) ?? []
    const bits = isIPv4(address) ? 32 : isIPv6(address) ? 128 : -1
    if (Number(prefix ?? 1) >= 1 && Number(prefix ?? 1) <= bits) continue
    const wanted = 'give each proxy as an address or a range, such as 10.0.0.0/16; a number of proxies is not enough'
    throw invalid('TRUSTED_PROXIES', `${JSON.stringify(proxy)} is no IP address and no CIDR range: ${wanted}`)
  }
}
