/** How a mistake in `config.ts` is said. */

/** Its message is for the person who edits `config.ts`. */
export class ConfigError extends Error {}

/** @throws ConfigError of one line: which value, what is wrong with it, what to write. */
export function fail(key: string, problem: string, fix: string): never {
  throw new ConfigError(`infra/config.ts: ${key}: ${problem}: ${fix}`)
}

/** A value as it may be written. */
export function show(value: unknown): string {
  return JSON.stringify(value) ?? 'nothing'
}
