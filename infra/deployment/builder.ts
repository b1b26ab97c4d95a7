/** Builds the image of the working directory and pushes it, with whichever program for images is there. */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { TerraformError } from '../terraform.ts'
import { runProgram } from './interruptible.ts'

export type Builder = 'docker' | 'podman' | 'buildah'

/** In this order, with a command that succeeds where the program can build. A docker without its daemon cannot. */
const BUILDERS: Readonly<Record<Builder, readonly (readonly string[])[]>> = {
  docker: [['info'], ['buildx', 'version']],
  podman: [['info']],
  buildah: [['info']],
}

export interface ImageOptions {
  /** With its tag: `registry/name:tag`. */
  readonly reference: string
  /** Such as `linux/arm64`. */
  readonly platform: string
  /** Build arguments; a Dockerfile takes those that it knows. */
  readonly arguments: Readonly<Record<string, string>>
  /** Of the registry. */
  readonly user: string
  readonly password: string
}

/** The first that works here. @throws TerraformError that says what to install. */
export function findBuilder(): Builder {
  const names = Object.keys(BUILDERS) as Builder[]
  const found = names.find((name) =>
    BUILDERS[name].every((args) => spawnSync(name, args, { stdio: 'ignore' }).status === 0),
  )
  if (found !== undefined) return found
  throw new TerraformError(
    'no image is released yet, and nothing here builds one: install docker, podman or buildah, and start it; ' +
      'or push an image from elsewhere, and write its digest into infra/config.ts',
  )
}

/** @returns the digest of what was pushed. @throws TerraformError that names the step. */
export async function buildAndPush(builder: Builder, options: ImageOptions): Promise<string> {
  const { reference, platform, user, password } = options
  const directory = mkdtempSync(join(tmpdir(), 'millrace-image-'))
  const file = join(directory, 'digest')
  const [registry = ''] = reference.split('/')
  // podman and buildah read passwords where this says: man containers-auth.json. docker keeps it with its others.
  const passwords = join(directory, 'auth.json')
  const auth = Buffer.from(`${user}:${password}`).toString('base64')
  writeFileSync(passwords, JSON.stringify({ auths: { [registry]: { auth } } }), { mode: 0o600 })
  const env = { ...process.env, REGISTRY_AUTH_FILE: passwords }
  const run = async (what: string, args: readonly string[], input?: string) => {
    const { code } = await runProgram(builder, args, { env, ...(input !== undefined && { input }) })
    if (code !== 0)
      throw new TerraformError(`${builder} could not ${what}: it says why above. Then run the same command again.`)
  }
  const build = [
    ...['--platform', platform, '--tag', reference],
    ...Object.entries(options.arguments).flatMap(([name, value]) => ['--build-arg', `${name}=${value}`]),
  ]
  try {
    if (builder === 'docker') {
      await run(`log in to ${registry}`, ['login', '--username', user, '--password-stdin', registry], password)
      await run('build and push the image', ['buildx', 'build', ...build, '--push', '--metadata-file', file, '.'])
      return JSON.parse(readFileSync(file, 'utf8'))['containerimage.digest']
    }
    await run('build the image', ['build', ...build, '.'])
    await run('push the image', ['push', '--digestfile', file, reference])
    return readFileSync(file, 'utf8').trim()
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}
