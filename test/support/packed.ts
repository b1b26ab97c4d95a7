/** The two npm packages, packed for a test file from the sources as they are. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll } from 'vitest'
import packageJson from '../../package.json' with { type: 'json' }

export interface Packed {
  readonly millrace: string
  readonly createMillrace: string
}

/** @returns paths of the tarballs, which are there until the last test of the file. */
export function packed(): Packed {
  const directory = mkdtempSync(join(tmpdir(), 'millrace-packed-'))
  afterAll(() => rmSync(directory, { recursive: true, force: true }))
  const script = join(import.meta.dirname, '../../scripts/npm-packages.ts')
  execFileSync(process.execPath, [script, directory], { stdio: ['ignore', 'ignore', 'inherit'] })
  const { version } = packageJson
  return {
    millrace: join(directory, `millrace-${version}.tgz`),
    createMillrace: join(directory, `create-millrace-${version}.tgz`),
  }
}
