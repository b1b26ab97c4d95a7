/** A PATH with a few programs of a test, and a shell for them. */
import { chmodSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { temporaryDirectory } from './temporary.ts'

/** @param scripts what each does, by its name: lines of sh. */
export function programs(scripts: Readonly<Record<string, string>>): string {
  const directory = temporaryDirectory()
  for (const [name, script] of Object.entries(scripts)) {
    const path = join(directory, name)
    writeFileSync(path, `#!/bin/sh\n${script}\n`)
    chmodSync(path, 0o755)
  }
  return directory
}
