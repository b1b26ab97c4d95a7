/**
 * API keys as they are configured, one entry for each key. Only the hash of a key is kept.
 *
 *     shop:a-key-of-16-characters                            may send everything
 *     till:sha256:<64 hexadecimal digits> type=order.*       by its hash, and only some events (scope.ts)
 *     page:pk_a-key-that-is-public type=page.* origin=https://shop.example rate=50
 *                                                            begins with pk_: may stand in a page
 *     till:cert:till-7.shop.example type=order.*             no key: whose client certificate has this name
 */
import { hash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { messageOf } from '../errors.ts'
import { invalid } from '../variable.ts'
import { parseScope, type Scope } from './scope.ts'

export interface ApiKey {
  /** Of the key, in hexadecimal digits. Undefined: the client has a certificate instead. */
  readonly sha256: string | undefined
  /** Undefined: any event. */
  readonly scope: Scope | undefined
  /** Undefined: the key is secret. */
  readonly publicKey?: PublicKey | undefined
  /** One of the names in the certificate of the client (client-certificates.ts). */
  readonly certificate?: string
}

/** A key that anybody can read in a page. So it states its origins and its rate. Plain data. */
export interface PublicKey {
  /** In the form of the header `Origin`: `https://shop.example`. At least one. */
  readonly origins: readonly string[]
  /** Of all users of the key together. */
  readonly eventsPerSecond: number
}

export const PUBLIC_PREFIX = 'pk_'
const CERTIFICATE = /^([\w-]{1,64}):cert:([\x21-\x7e]{1,256})$/
const ENTRY = /^([\w-]{1,64}):([\x21-\x7e]{16,512})$/
const MAX_RATE = 1_000_000

/**
 * @param inline entries of API_KEYS.
 * @param path of API_KEYS_FILE, one entry a line; empty lines and lines that begin with `#` are skipped.
 * @returns client name → its key.
 * @throws MillraceError CONFIG_INVALID, naming the variable and the entry, without the key.
 */
export function readKeys(inline: readonly string[], path: string): Map<string, ApiKey> {
  if (inline.length > 0 && path !== '') throw invalid('API_KEYS_FILE', 'API_KEYS is set as well: use one of them')
  const name = path === '' ? 'API_KEYS' : 'API_KEYS_FILE'
  const entries = path === '' ? inline : linesOf(path)
  const keys = new Map<string, ApiKey>()
  for (const [at, entry] of entries.entries()) {
    const [given = '', ...words] = entry.split(/\s+/)
    const [, owner, certificate] = CERTIFICATE.exec(given) ?? []
    const [, client = owner, key = certificate] = owner === undefined ? (ENTRY.exec(given) ?? []) : []
    if (client === undefined || key === undefined) {
      throw invalid(name, `entry ${at + 1} is not "name:key" with a key of 16 to 512 printable characters`)
    }
    if (keys.has(client)) throw invalid(name, `entry ${at + 1} repeats the name ${client}`)
    const fail = (problem: string) => invalid(name, `entry ${at + 1}: ${problem}`)
    const publicKey = certificate === undefined && key.startsWith(PUBLIC_PREFIX) ? parsePublic(words, fail) : undefined
    const scope = parseScope(publicKey ? words.filter((word) => !PUBLIC_WORD.test(word)) : words)
    if (scope === undefined) {
      throw fail('after the key, at most 100 words are allowed, each type=PATTERN or source=PATTERN')
    }
    if (publicKey && scope.types.length === 0) {
      throw fail('a key that begins with pk_ is public: say with type=PATTERN which events it may send')
    }
    const allowed = words.length === 0 ? undefined : scope
    if (certificate !== undefined) {
      if ([...keys.values()].some((other) => other.certificate === certificate)) {
        throw fail(`the certificate ${certificate} is another client already`)
      }
      keys.set(client, { sha256: undefined, scope: allowed, certificate })
      continue
    }
    const sha256 = (/^sha256:([\da-f]{64})$/i.exec(key)?.[1] ?? hash('sha256', key)).toLowerCase()
    keys.set(client, { sha256, scope: allowed, ...(publicKey && { publicKey }) })
  }
  return keys
}

const PUBLIC_WORD = /^(origin|rate)=(.*)$/

/** @throws the error that `fail` makes, when a public key has no origins or no rate. */
function parsePublic(words: readonly string[], fail: (problem: string) => Error): PublicKey {
  const values = (wanted: string) =>
    words.flatMap((word) => {
      const [, name, value = ''] = PUBLIC_WORD.exec(word) ?? []
      return name === wanted ? [value] : []
    })
  const origins = values('origin')
  const [rate = '', ...others] = values('rate')
  if (origins.length === 0 || !origins.every(isOrigin)) {
    throw fail('a key that begins with pk_ is public: say with origin=https://HOST in which pages it may be used')
  }
  if (!/^[1-9]\d{0,6}$/.test(rate) || Number(rate) > MAX_RATE || others.length > 0) {
    throw fail(`a key that begins with pk_ is public: say with rate=N how many events a second, 1 to ${MAX_RATE}`)
  }
  return { origins, eventsPerSecond: Number(rate) }
}

/** An origin in the form that a browser sends: no path, no default port, no capitals (RFC 6454, section 6.2). */
function isOrigin(text: string): boolean {
  const url = URL.parse(text)
  return url !== null && /^https?:$/.test(url.protocol) && url.origin === text
}

function linesOf(path: string): string[] {
  const name = 'API_KEYS_FILE'
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    throw invalid(name, `cannot read it (${messageOf(error)})`)
  }
  const lines = text.split('\n').map((line) => line.trim())
  const entries = lines.filter((line) => line !== '' && !line.startsWith('#'))
  if (entries.length === 0) throw invalid(name, `${path} holds no key: write one "name:key" a line`)
  return entries
}
