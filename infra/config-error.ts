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

/** @throws ConfigError unless the value is a whole number from `least` to `most`. */
export function checkWhole(key: string, value: number, least: number, most: number): void {
  if (!(Number.isInteger(value) && value >= least && value <= most)) {
    fail(key, `${show(value)} is out of range`, `write a whole number from ${least} to ${most}`)
  }
}
