/** Variables of the public listener: where it listens, who may send, how much. */
import { isIPv4, isIPv6 } from 'node:net'
import { isLoopback } from '../process/listen.ts'
import { choice, flag, GIB, integer, invalid, KIB, list, MIB, names, text, type ValuesOf } from '../variable.ts'

export const HTTP_VARIABLES = {
  HOST: text('127.0.0.1', 'Address of the public listener.'),
  PORT: integer(0, 65_535, 3000, 'Port of the public listener; 0 takes any free one.'),
  WORKERS: integer(
    1,
    64,
    1,
    'Threads that take events in; 1 is the main thread. More share the port (Linux) and divide the capacities; the writer stays one. About 50 MB each.',
  ),
  ACK: choice(
    ['durable', 'memory'],
    'durable',
    'When a request is answered: `durable` after its synced write; `memory` once queued, and the answer says so: a crash then loses what was not yet written.',
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
  API_KEYS: names(
    'Bearer keys that may send, `name:key` separated by commas; the name appears in logs, the key never does. `name:sha256:HEX` is a key by its SHA-256, so that it stands nowhere in clear. Behind it, after spaces: `type=PATTERN` and `source=PATTERN` that it may send. A key that begins with `pk_` is public, for pages: it needs `type=`, `origin=https://HOST` and `rate=N`, events a second. `name:cert:NAME` is a client whose certificate has this name, without a key: see `TLS_CLIENT_CA_FILE`.',
  ),
  API_KEYS_FILE: text(
    '',
    'File with one `name:key` a line, instead of `API_KEYS`. Read again when it changes, and at SIGHUP.',
  ),
  AUTH_JWKS_URL: text(
    '',
    'URL of the JWK Set of an OpenID Connect or OAuth issuer, https (http on loopback): its tokens (JWT) may send as well.',
  ),
  AUTH_ISSUER: text('', 'What `iss` of a token must be.'),
  AUTH_AUDIENCE: text('', 'What `aud` of a token must be, or hold.'),
  AUTH_CLIENT_CLAIM: text('sub', 'Claim of a token that names the client, for limits, the log and `STAMP_CLIENT`.'),
  AUTH_CLIENT_TYPE: choice(
    ['service_account', 'user', 'app_user'],
    'service_account',
    'What the clients with tokens are: `authtype` of their events.',
  ),
  AUTH_SCOPE_CLAIM: text(
    '',
    'Claim with words `type=PATTERN` and `source=PATTERN`: what a token may send; without one, nothing. Empty: tokens may send all.',
  ),
  STAMP_CLIENT: choice(
    ['none', 'authid'],
    'none',
    '`authid`: each event says who sent it, in `authtype` and `authid` (CloudEvents auth context); one that says so itself is rejected.',
  ),
  STAMP_SENDER: list(
    ['address', 'useragent'],
    [],
    'Each event says where it came from, in `clientaddress` and `useragent`; one that says so itself is rejected. Personal data: docs/send.md.',
  ),
  TRUSTED_PROXIES: names(
    'Addresses and CIDR ranges of the proxies in front, such as `10.0.0.0/16`: from them `X-Forwarded-For` says who sends. Empty: nobody is believed.',
  ),
  TLS_CERT_FILE: text(
    '',
    'PEM file of the certificate chain, own certificate first: then the public listener speaks HTTPS only. Read again when it changes, and at SIGHUP.',
  ),
  TLS_KEY_FILE: text('', 'PEM file of the key of that certificate, without a passphrase. Read again with it.'),
  TLS_CLIENT_CA_FILE: text(
    '',
    'PEM file of authorities: each client, health checks too, then needs a certificate signed by one of them. Read again when it changes.',
  ),
  TLS_SELF_SIGNED: flag(
    false,
    'HTTPS with a certificate that is made at each start, for a load balancer that does not check it, such as that of AWS. Clients refuse it.',
  ),
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
    throw invalid('STAMP_CLIENT', `nobody says who they are: set ${ways}`)
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
    throw invalid(
      'CHANNEL_CAPACITY_EVENTS',
      `${config.CHANNEL_CAPACITY_EVENTS} are less than WORKERS=${config.WORKERS}`,
    )
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
    const [, address = '', prefix] = /^([^/]+)(?:\/(\d{1,3}))?$/.exec(proxy) ?? []
    const bits = isIPv4(address) ? 32 : isIPv6(address) ? 128 : -1
    if (Number(prefix ?? 1) >= 1 && Number(prefix ?? 1) <= bits) continue
    const wanted = 'give each proxy as an address or a range, such as 10.0.0.0/16; a number of proxies is not enough'
    throw invalid('TRUSTED_PROXIES', `${JSON.stringify(proxy)} is no IP address and no CIDR range: ${wanted}`)
  }
}
