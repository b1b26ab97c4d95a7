/**
 * Which events a client may send: patterns for `type` and `source`. The syntax is the same after an API key and in a
 * claim of a token:
 *
 *     type=order.* type=cart.* source=/shop/*
 *
 * `*` matches any number of characters, also zero. One pattern of each attribute must match. An attribute without
 * patterns may have any value.
 */
/** Plain data, so that it can be sent to a thread. */
export interface Scope {
  readonly types: readonly string[]
  readonly sources: readonly string[]
}

const MAX_PATTERNS = 100
const WORD = /^(type|source)=([\x21-\x7e]{1,1024})$/

/** @returns undefined when a word is not `type=…` or `source=…`, or there are more than 100. */
export function parseScope(words: readonly string[]): Scope | undefined {
  if (words.length > MAX_PATTERNS) return undefined
  const scope = { types: [] as string[], sources: [] as string[] }
  for (const word of words) {
    const [, name, pattern = ''] = WORD.exec(word) ?? []
    if (name === undefined) return undefined
    scope[name === 'type' ? 'types' : 'sources'].push(pattern)
  }
  return scope
}

/** Whether one of the patterns matches, or there are none. */
export function isAllowed(patterns: readonly string[], text: string): boolean {
  return patterns.length === 0 || patterns.some((pattern) => matches(pattern, text))
}

/** Takes at most length of pattern × length of text steps. A regular expression does not guarantee that. */
function matches(pattern: string, text: string): boolean {
  const [first = '', ...others] = pattern.split('*')
  const last = others.pop()
  if (last === undefined) return text === pattern
  if (!text.startsWith(first)) return false
  let at = first.length
  for (const part of others) {
    const found = text.indexOf(part, at)
    if (found === -1) return false
    at = found + part.length
  }
  return text.length - last.length >= at && text.endsWith(last)
}
