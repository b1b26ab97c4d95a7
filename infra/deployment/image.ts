/** The image that an environment runs: built from the working directory and pushed, where `config.ts` names none yet. */
import { spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { ECRClient, GetAuthorizationTokenCommand } from '@aws-sdk/client-ecr'
import { ConfigError } from '../config-error.ts'
import { PLATFORM } from '../constructs/fargate-service.ts'
import type { Environment } from '../environment.ts'
import { imageRepository } from '../names.ts'
import type { Place } from '../place.ts'
import { TerraformError } from '../terraform.ts'
import { type Builder, buildAndPush } from './builder.ts'

const CONFIG = 'infra/config.ts'
/** As a fresh `config.ts` has it, written either way. */
const NOTHING = /`sha256:\$\{'0'\.repeat\(64\)\}`|'sha256:0{64}'/g

/** All zeros: nothing was pushed yet. */
export function hasImage({ image }: Environment): boolean {
  return !('digest' in image && /^sha256:0+$/.test(image.digest))
}

/** The text of `config.ts` with a digest where it has zeros; undefined: it has none that can be found. */
export function withDigest(config: string, digest: string): string | undefined {
  const text = config.replace(NOTHING, `'${digest}'`)
  return text === config ? undefined : text
}

/** Builds, pushes, and writes the digest into `config.ts`: the one place that says what runs. @returns the digest. */
export async function pushImage(place: Place, builder: Builder): Promise<string> {
  const repository = imageRepository(place)
  const { version = '0.0.0' } = JSON.parse(readFileSync('package.json', 'utf8'))
  const time = new Date().toISOString().replace(/\D/g, '').slice(0, 14)
  const digest = await buildAndPush(builder, {
    reference: `${repository}:${version}-${time}`, // a tag of the repository cannot be written twice
    platform: PLATFORM,
    arguments: { VERSION: version, REVISION: commit() },
    ...(await login(place)),
  })
  const text = withDigest(readFileSync(CONFIG, 'utf8'), digest)
  if (text === undefined) {
    const line = `image: { digest: '${digest}' }`
    throw new ConfigError(
      `${CONFIG}: the image is pushed: write ${line} into the environment, and run the same command again`,
    )
  }
  writeFileSync(CONFIG, text)
  return digest
}

/** https://docs.aws.amazon.com/AmazonECR/latest/userguide/registry_auth.html */
async function login({ images }: Place): Promise<{ readonly user: string; readonly password: string }> {
  const found = await new ECRClient({ region: images.region })
    .send(new GetAuthorizationTokenCommand())
    .catch((error: Error) => error)
  if (found instanceof Error) {
    const reason = `${found.name}: ${found.message}`
    throw new TerraformError(`the image repository lets nobody in (${reason}): use credentials that may push to it`)
  }
  const token = Buffer.from(found.authorizationData?.[0]?.authorizationToken ?? '', 'base64').toString()
  const [user = '', ...password] = token.split(':')
  return { user, password: password.join(':') }
}

function commit(): string {
  const { status, stdout } = spawnSync('git', ['rev-parse', 'HEAD'], { encoding: 'utf8' })
  return status === 0 ? stdout.trim() : 'unknown' // not a checkout
}
