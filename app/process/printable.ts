/**
 * Text that others wrote, for a terminal: an event, the answer of a receiver, a value of the environment may hold bytes that move the
 * cursor, hide a line or turn the reading direction. They are shown as JSON writes them, so JSON without line feeds stays the same JSON.
 */

/** Control characters (C0, DEL, C1), those that turn the reading direction, the other ends of a line, and half pairs of UTF-16. */
const UNSAFE = /[\p{Cc}\p{Bidi_Control}\u2028\u2029\p{Cs}]/gu
const SHORT: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' }

/** `text` in one line, without any character that a terminal would act on. */
export function printable(text: string): string {
  return text.replace(UNSAFE, escaped)
}

/** The same, except that lines stay lines: for a stack, or what a library has laid out. */
export function printableLines(text: string): string {
  return text.replace(UNSAFE, (character) => (character === '\n' ? character : escaped(character)))
}

function escaped(character: string): string {
  return SHORT[character] ?? `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
}
