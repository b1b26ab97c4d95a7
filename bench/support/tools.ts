/** Programs that a question needs and that are not npm packages. */
import { spawnSync } from 'node:child_process'

/** Name → what prints its version, and what gets it. */
const TOOLS = {
  wrk: { args: ['-v'], get: 'apt-get install wrk' },
  hyperfine: { args: ['--version'], get: 'apt-get install hyperfine' },
} as const
export type Tool = keyof typeof TOOLS

/** Why it cannot be used, and what to do about that; undefined when it can. */
export function missingTool(name: Tool): string | undefined {
  const { error } = spawnSync(name, TOOLS[name].args)
  return error === undefined ? undefined : `${name} is not on the PATH: ${TOOLS[name].get}`
}

/** The first line of what it prints; undefined when it is not there. */
export function versionOf(command: string, ...args: readonly string[]): string | undefined {
  const { error, stdout, stderr } = spawnSync(command, args, { encoding: 'utf8' })
  return error === undefined ? `${stdout}${stderr}`.trim().split('\n')[0] : undefined
}

export function toolVersions(): Record<string, string> {
  const versions = {
    wrk: versionOf('wrk', '-v')?.match(/\d+\.\d+\.\d+/)?.[0],
    hyperfine: versionOf('hyperfine', '--version')?.replace('hyperfine ', ''),
    rustc: versionOf('rustc', '--version')?.split(' ')[1],
    python: versionOf('python3', '--version')?.replace('Python ', ''),
  }
  return Object.fromEntries(
    Object.entries(versions).filter((entry): entry is [string, string] => entry[1] !== undefined),
  )
}
