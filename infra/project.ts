/** The `infra/config.ts` of the current project: this repository, or a project that has installed the package. */
import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { Account, Environment } from './environment.ts'

export interface Project {
  readonly account: Account
  readonly environments: readonly Environment[]
}

const CONFIG = 'infra/config.ts'

/** For commands: without such a file in the working directory, it says so and ends the process with exit code 2. */
export async function loadProject(): Promise<Project> {
  const path = resolve(CONFIG)
  if (existsSync(path)) return import(pathToFileURL(path).href)
  console.error(`there is no ${CONFIG} in ${process.cwd()}: run this in the directory of your project`)
  process.exit(2)
}
