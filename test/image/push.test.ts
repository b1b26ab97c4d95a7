/** What a first deployment does for an image: built by each program that can be had here, and pushed as into ECR. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { buildAndPush } from '../../infra/deployment/builder.ts'
import { Containers, missing } from '../support/containers.ts'
import { type ImageRegistry, startImageRegistry } from '../support/image-registry.ts'

const REGISTRY = '123456789012.dkr.ecr.eu-central-1.amazonaws.com'
const reason = missing()

describe.skipIf(reason)(`an image for a deployment${reason ? ` (left out: ${reason})` : ''}`, () => {
  let containers: Containers
  let registry: ImageRegistry
  const directory = process.cwd()

  beforeAll(async () => {
    containers = new Containers()
    registry = await startImageRegistry('a-token')
    writeFileSync(
      join(containers.directory, 'Dockerfile'),
      'FROM scratch\nCOPY Dockerfile /\nARG VERSION\nLABEL v=$VERSION\n',
    )
    for (const [name, value] of Object.entries(registry.environment(REGISTRY, containers))) vi.stubEnv(name, value)
    process.chdir(containers.directory)
  })
  afterAll(async () => {
    process.chdir(directory)
    vi.unstubAllEnvs()
    registry.stop()
    await containers.remove()
  })

  const options = (tag: string, password: string) => ({
    reference: `${REGISTRY}/millrace:${tag}`,
    platform: 'linux/arm64',
    arguments: { VERSION: tag },
    user: 'AWS',
    password,
  })

  test.each(['buildah', 'podman'] as const)(
    '%s: for the architecture of the tasks; its digest is the one that ECR has',
    async (builder) => {
      const digest = await buildAndPush(builder, options(`of-${builder}`, 'a-token'))
      const found = registry.pushed.find(({ reference }) => reference === `millrace:of-${builder}`)
      expect(found?.digest).toBe(digest)
      expect([found?.config.architecture, found?.config.config?.Labels?.v]).toEqual(['arm64', `of-${builder}`])
    },
  )

  test('a password that the repository does not take: which step failed, and what to do', async () => {
    const pushed = buildAndPush('buildah', options('never', 'another'))
    await expect(pushed).rejects.toThrow('buildah could not push the image: it says why above. Then run the same')
  })
})
