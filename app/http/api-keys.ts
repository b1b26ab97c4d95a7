/**
 * API keys as they are configured, an entry each; the key itself is kept nowhere.
 *
 *     shop:a-key-of-16-characters                            may send everything
 *     till:sha256:<64 hexadecimal digits> type=order.*       by its hash, and only some events (scope.ts)
 */
import { hash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { messageOf } from '../errors.ts'
import { invalid } from '../variable.ts'
import { parseScope, type Scope } from './scope.ts'

export interface ApiKey {
  /** Of the key, in hexadecimal digits. */
  readonly sha256: string
  /** Undefined: any event. */
  readonly scope: Scope | undefined
}

/**
 * @param inline entries of API_KEYS.
 * @param path of API_KEYS_FILE, an entry a line; empty lines and those that begin with `#` are left out.
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
    const [, client, key] = /^([\w-]{1,64}):([\x21-\x7e]{16,512})$/.exec(given) ?? []
    if (client === undefined || key === undefined) {
      throw invalid(name, `entry ${at + 1} is not "name:key" with a key of 16 to 512 printable characters`)
    }
    if (keys.has(client)) throw invalid(name, `entry ${at + 1} repeats the name ${client}`)
    const scope = parseScope(words)
    if (scope === undefined) {
      throw invalid(
        name,
        `entry ${at + 1}: behind the key stand at most 100 words, each type=PATTERN or source=PATTERN`,
      )
    }
    const sha256 = (/^sha256:([\da-f]{64})$/i.exec(key)?.[1] ?? hash('sha256', key)).toLowerCase()
    keys.set(client, { sha256, scope: words.length === 0 ? undefined : scope })
  }
  return keys
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
