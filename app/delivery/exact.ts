/**
 * Keeps the parts of `data` that a handler did not change as they were received: as JavaScript numbers,
 * `12345678901234567890` and `1.0` would be written differently. A part counts as unchanged if it equals the input,
 * also in a copy.
 */

/**
 * JSON.parse with source text (https://tc39.es/proposal-json-parse-with-source). TypeScript has no types for it yet.
 */
const { parse, rawJSON } = JSON as unknown as {
  parse(text: string, revive: (key: string, value: unknown, context: { source?: string }) => unknown): unknown
  rawJSON(text: string): unknown
}

/** A string or number that JSON.stringify would write differently from its source. */
class Inexact {
  readonly value: unknown
  readonly source: string

  constructor(value: unknown, source: string) {
    this.value = value
    this.source = source
  }
}

/**
 * The JSON text of `data`; undefined when JSON has no text for it.
 * @param given the JSON text of the handler's input.
 * @throws the errors of JSON.stringify.
 */
export function exactText(data: unknown, given: Buffer | undefined): Buffer | undefined {
  const text = JSON.stringify(data)
  if (text === undefined || given === undefined) return text === undefined ? undefined : Buffer.from(text)
  const source = given.toString()
  if (JSON.stringify(JSON.parse(source)) === text) return given
  const marked = parse(source, (_key, value, { source: own }) =>
    own === undefined || own === JSON.stringify(value) ? value : new Inexact(value, own),
  )
  return Buffer.from(JSON.stringify(restored(data, marked)))
}

/** The value, in which each part that equals `given` at the same place has its source text. */
function restored(value: unknown, given: unknown): unknown {
  if (given instanceof Inexact) return Object.is(value, given.value) ? rawJSON(given.source) : value
  if (Array.isArray(value)) return Array.isArray(given) ? value.map((item, at) => restored(item, given[at])) : value
  if (!isPlain(value) || !isPlain(given)) return value
  return Object.fromEntries(
    Object.entries(value).map(([name, item]) => [
      name,
      Object.hasOwn(given, name) ? restored(item, given[name]) : item,
    ]),
  )
}

function isPlain(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !('toJSON' in value)
}
