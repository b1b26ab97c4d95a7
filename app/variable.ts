/**
 * Definition of environment variables. Each directory of the service declares its own in a `variables.ts`, together
 * with the checks that involve several of them; config.ts collects them. A variable has its unit in its name, and a
 * meaning, a range and a default.
 */
import { MillraceError } from './errors.ts'

export const KIB = 1024
export const MIB = 1024 * KIB
export const GIB = 1024 * MIB
export const SECOND_MS = 1000
export const DAY_MS = 24 * 60 * 60 * SECOND_MS

/** A variable, in the terms of JSON Schema. */
export interface Variable<T = unknown> {
  readonly type: 'integer' | 'string' | 'boolean' | 'array'
  readonly enum?: readonly string[]
  /** For an array: the valid values of an item. Default: any text. */
  readonly items?: { readonly enum: readonly string[] }
  readonly minimum?: number
  readonly maximum?: number
  readonly default: T
  readonly description: string
}

export function integer(minimum: number, maximum: number, fallback: number, description: string): Variable<number> {
  return { type: 'integer', minimum, maximum, default: fallback, description }
}
export function text(fallback: string, description: string): Variable<string> {
  return { type: 'string', default: fallback, description }
}
export function flag(fallback: boolean, description: string): Variable<boolean> {
  return { type: 'boolean', default: fallback, description }
}
export function list<const T extends string>(
  values: readonly T[],
  fallback: readonly NoInfer<T>[],
  description: string,
): Variable<readonly T[]> {
  return { type: 'array', items: { enum: values }, default: fallback, description }
}
export function names(description: string): Variable<readonly string[]> {
  return { type: 'array', default: [], description }
}
export function choice<const T extends string>(
  values: readonly T[],
  fallback: NoInfer<T>,
  description: string,
): Variable<T> {
  return { type: 'string', enum: values, default: fallback, description }
}

/** The types of the values, after the variables are read. */
export type ValuesOf<S extends Readonly<Record<string, Variable>>> = { readonly [Name in keyof S]: S[Name]['default'] }

/** Whether the value of a variable is secret and must never be shown. */
export function isSecret(name: string): boolean {
  return /(KEYS|SECRET|TOKEN|PASSWORD|POSTGRES_SINK_URL)$/.test(name)
}

/**
 * Converts the text of a variable to its value.
 * @throws MillraceError CONFIG_INVALID
 */
export function convert(name: string, variable: Variable, given: string): unknown {
  const shown = isSecret(name) ? 'the given value' : JSON.stringify(given)
  const fail = (wanted: string) => invalid(name, `${shown} is not ${wanted}. ${variable.description}`)
  if (variable.enum) {
    if (!variable.enum.includes(given)) throw fail(`one of ${variable.enum.join(', ')}`)
    return given
  }
  switch (variable.type) {
    case 'integer': {
      const { minimum = 0, maximum = Number.MAX_SAFE_INTEGER } = variable
      const value = /^\d+$/.test(given) ? Number(given) : Number.NaN
      if (!(value >= minimum && value <= maximum)) throw fail(`a whole number from ${minimum} to ${maximum}`)
      return value
    }
    case 'boolean':
      if (given !== 'true' && given !== 'false') throw fail('true or false')
      return given === 'true'
    case 'array': {
      const items = given.split(',').map((item) => item.trim())
      const known = variable.items?.enum ?? []
      const unknown = items.find((item) => item === '' || (known.length > 0 && !known.includes(item)))
      if (unknown !== undefined)
        throw fail(`a list of ${known.length > 0 ? known.join(', ') : 'names'}, separated by commas`)
      if (new Set(items).size < items.length) throw fail('a list without repetitions')
      return items
    }
    default:
      return given
  }
}

/** Whether the text is an http or https URL. */
export function isHttpUrl(text: string): boolean {
  return /^https?:$/.test(URL.parse(text)?.protocol ?? '')
}

/** Makes an error with a message of one line, even if the problem has several lines. */
export function invalid(name: string, problem: string): MillraceError {
  const shown = problem.replaceAll(/[\p{Cc}\u2028\u2029]+/gu, ' ')
  return new MillraceError('CONFIG_INVALID', `${name}: ${shown}`)
}
