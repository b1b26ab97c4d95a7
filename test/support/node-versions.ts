/** A Node of each version that package.json promises: one on the PATH, else the official binary, which npm has as a package. */
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdirSync, readdirSync } from 'node:fs'
import { delimiter, join } from 'node:path'

/** @returns a path; undefined where none is on the PATH. */
function onThePath(major: number): string | undefined {
  const found = (process.env.PATH ?? '').split(delimiter).map((directory) => join(directory, 'node'))
  return [process.execPath, ...found].find((path) => {
    const { status, stdout } = spawnSync(path, ['--version'], { encoding: 'utf8' })
    return status === 0 && stdout.startsWith(`v${major}.`)
  })
}

/**
 * @param directory that the binary is unpacked into.
 * @returns a path; undefined where npm has no such version, or cannot be reached.
 */
export function nodeOf(major: number, directory: string): string | undefined {
  const path = onThePath(major)
  if (path !== undefined) return path
  const into = join(directory, `node-${major}`)
  mkdirSync(into)
  const name = `node-${process.platform}-${process.arch}@${major}`
  const { status } = spawnSync('npm', ['pack', '--silent', '--pack-destination', into, name], { stdio: 'ignore' })
  const [archive] = readdirSync(into)
  if (status !== 0 || archive === undefined) return undefined
  execFileSync('tar', ['-xzf', join(into, archive), '-C', into])
  return join(into, 'package/bin/node')
}
