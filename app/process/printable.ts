/**
 * Makes text that others wrote safe for a terminal. An event, the answer of a receiver or a value of the environment
 * may hold characters that move the cursor, hide a line or change the reading direction. These are shown as JSON
 * escapes, so JSON without line feeds stays the same JSON.
 */

/** Control characters (C0, DEL, C1), bidirectional controls, U+2028 and U+2029, and unpaired surrogates. */
const UNSAFE = /[\p{Cc}\p{Bidi_Control}\u2028\u2029\p{Cs}]/gu
const SHORT: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' }

/** `text` in one line, without any character that a terminal interprets. */
export function printable(text: string): string {
  return text.replace(UNSAFE, escaped)
}

/** Keeps line breaks: for a stack, or text that a library has formatted. */
export function printableLines(text: string): string {
  return text.replace(UNSAFE, (character) => (character === '\n' ? character : escaped(character)))
}

function escaped(character: string): string {
  return SHORT[character] ?? `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
}
