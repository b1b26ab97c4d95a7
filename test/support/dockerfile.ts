/** The Dockerfile as a list of instructions, arguments of its own filled in. */
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'

export interface Instruction {
  readonly name: string
  readonly value: string
}

export function dockerfile(): Instruction[] {
  const text = readFileSync(resolve(import.meta.dirname, '../../Dockerfile'), 'utf8')
  return text
    .replaceAll(/^#.*\n/gm, '')
    .replaceAll(/\\\n\s*/g, '')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => ({ name: line.split(' ', 1)[0] ?? '', value: line.slice(line.indexOf(' ') + 1) }))
}

/** What ENV sets, without PATH. */
export function dockerfileEnvironment(): Record<string, string> {
  const pairs = dockerfile().flatMap(({ name, value }) => (name === 'ENV' ? value.split(/\s+/) : []))
  return Object.fromEntries(pairs.map((pair) => pair.split('=')).filter(([name]) => name !== 'PATH'))
}
