/**
 * What a handler did not change of `data` goes on as it was received: `12345678901234567890` and `1.0` are no longer
 * that once they were numbers of JavaScript. Equal to what the handler was given is not changed, copied or not.
 */

/**
 * JSON.parse with source text (https://tc39.es/proposal-json-parse-with-source), which TypeScript does not know yet.
 */
const { parse, rawJSON } = JSON as unknown as {
  parse(text: string, revive: (key: string, value: unknown, context: { source?: string }) => unknown): unknown
  rawJSON(text: string): unknown
}

/** A text or number that would be written otherwise than it was. */
class Inexact {
  readonly value: unknown
  readonly source: string

  constructor(value: unknown, source: string) {
    this.value = value
    this.source = source
  }
}

/**
 * The JSON text of `data`; undefined when it has none.
 * @param given the text of what the handler was given.
 * @throws what JSON.stringify does.
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

/** The value with the sources of what is equal at the same place. */
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
