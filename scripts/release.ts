/**
 * `npm run release -- …`: what the release workflow runs.
 *
 *     version         the newest version of CHANGELOG.md if it has no tag yet, as the output `version`; else nothing
 *     notes           what CHANGELOG.md says of that version; in a workflow of GitHub, with links to the files of its tag
 *     digest SHA256   writes the image's digest into infra/config.ts
 */
import { execFileSync } from 'node:child_process'
import { appendFileSync, readFileSync, writeFileSync } from 'node:fs'
import { resolve } from 'node:path'

const PROJECT = resolve(import.meta.dirname, '..')
/** A heading with version and date, as in Keep a Changelog; not `[Unreleased]`. */
const VERSION_HEADING = /^## \[(\d+\.\d+\.\d+)\] - \d{4}-\d{2}-\d{2}$/m

export class ReleaseError extends Error {}

export interface Release {
  readonly version: string
  /** Markdown. */
  readonly notes: string
}

/** The newest version of a changelog; undefined: nothing was ever released. */
export function newestRelease(changelog: string): Release | undefined {
  const heading = VERSION_HEADING.exec(changelog)
  if (heading?.[1] === undefined) return undefined
  const rest = changelog.slice(heading.index + heading[0].length)
  const end = rest.search(/^## /m)
  return { version: heading[1], notes: (end === -1 ? rest : rest.slice(0, end)).trim() }
}

/** Markdown whose links to files of the repository begin with `base`: beside a release there are no files. */
export function withLinks(markdown: string, base: string): string {
  return markdown.replaceAll(/\]\((?![a-z]+:|#)/g, `](${base}`)
}

/** The text of infra/config.ts with another digest as what is released. */
export function withDigest(config: string, digest: string): string {
  if (!/^sha256:[0-9a-f]{64}$/.test(digest)) throw new ReleaseError(`"${digest}" is not a digest: sha256:… is expected`)
  const line = /^const released: Image = \{ digest: .* \}$/m
  if (!line.test(config)) throw new ReleaseError('infra/config.ts has no line "const released: Image = { digest: … }"')
  return config.replace(line, `const released: Image = { digest: '${digest}' }`)
}

function main([command, argument]: readonly string[]): void {
  const release = newestRelease(readFileSync(resolve(PROJECT, 'CHANGELOG.md'), 'utf8'))
  if (command === 'version') {
    const version = release && isNew(release.version) ? release.version : ''
    console.error(version === '' ? 'nothing to release' : `${version} is to be released`)
    if (process.env.GITHUB_OUTPUT) appendFileSync(process.env.GITHUB_OUTPUT, `version=${version}\n`)
  } else if (command === 'notes') {
    const { GITHUB_SERVER_URL: server, GITHUB_REPOSITORY: repository } = process.env
    const base = repository === undefined ? '' : `${server}/${repository}/blob/v${release?.version}/`
    process.stdout.write(`${withLinks(release?.notes ?? '', base)}\n`)
  } else if (command === 'digest') {
    const path = resolve(PROJECT, 'infra/config.ts')
    writeFileSync(path, withDigest(readFileSync(path, 'utf8'), argument ?? ''))
  } else {
    throw new ReleaseError('usage: npm run release -- <version|notes|digest SHA256>')
  }
}

function isNew(version: string): boolean {
  const tags = execFileSync('git', ['tag', '--list', `v${version}`], { cwd: PROJECT, encoding: 'utf8' })
  if (tags.trim() !== '') return false
  const { version: packaged } = JSON.parse(readFileSync(resolve(PROJECT, 'package.json'), 'utf8'))
  if (packaged === version) return true
  throw new ReleaseError(
    `CHANGELOG.md says ${version}, package.json ${packaged}: npm version --no-git-tag-version ${version}`,
  )
}

if (process.argv[1] === import.meta.filename) {
  try {
    main(process.argv.slice(2))
  } catch (error) {
    if (!(error instanceof ReleaseError)) throw error
    console.error(error.message)
    process.exitCode = 2
  }
}
