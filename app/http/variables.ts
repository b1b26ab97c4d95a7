/** Variables of the public listener: where it listens, who may send, how much. */
import { hash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { messageOf } from '../errors.ts'
import { isLoopback } from '../process/listen.ts'
import { choice, flag, GIB, integer, invalid, KIB, MIB, names, text, type ValuesOf } from '../variable.ts'

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
    'Bearer keys that may send, `name:key` separated by commas; the name appears in logs, the key never does. `name:sha256:HEX` is a key by its SHA-256, so that it stands nowhere in clear.',
  ),
  API_KEYS_FILE: text(
    '',
    'File with one `name:key` a line, instead of `API_KEYS`. Read again when it changes, and at SIGHUP.',
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

export function checkHttp(
  config: ValuesOf<typeof HTTP_VARIABLES> & {
    readonly CHANNEL_CAPACITY_EVENTS: number
    readonly CHANNEL_CAPACITY_BYTES: number
  },
  apiKeys: ReadonlyMap<string, string>,
): void {
  const knowsClients = apiKeys.size > 0 || config.TLS_CLIENT_CA_FILE !== ''
  if (!knowsClients && !isLoopback(config.HOST) && !config.ALLOW_ANONYMOUS) {
    throw invalid(
      'HOST',
      `${config.HOST} is open to others and no key is set: set API_KEYS or API_KEYS_FILE, or ALLOW_ANONYMOUS=true`,
    )
  }
  checkTlsFiles(config)
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
}

/** @returns client name → SHA-256 of its key, in hex: the keys themselves are kept nowhere. */
export function readKeys(inline: readonly string[], path: string): Map<string, string> {
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
