/** What the Dockerfile says twice, or what others say about the image; `npm run test:image` builds and runs it. */
import { expect, test } from 'vitest'
import { loadConfig, VARIABLES } from '../app/config.ts'
import { HEALTH_CHECK, WORKING_DIRECTORY } from '../infra/constructs/containers.ts'
import { CONTAINER_USER_ID } from '../infra/constructs/log-volume.ts'
import packageJson from '../package.json' with { type: 'json' }
import { dockerfile, dockerfileEnvironment } from './support/dockerfile.ts'

const instructions = dockerfile()
const valuesOf = (wanted: string) => instructions.filter(({ name }) => name === wanted).map(({ value }) => value)

test('both bases are pinned by digest, with Node 24', () => {
  const bases = valuesOf('ARG').filter((value) => value.includes('_IMAGE='))
  expect(bases).toHaveLength(2)
  for (const base of bases) expect(base).toMatch(/=\S+\/(node:24|nodejs24)\S+@sha256:[0-9a-f]{64}$/)
  const [build, runtime, ...more] = valuesOf('FROM')
  expect([build, runtime, more]).toEqual([
    // biome-ignore lint/suspicious/noTemplateCurlyInString: it is the Dockerfile's own
    '--platform=$BUILDPLATFORM ${BUILD_IMAGE} AS build',
    // biome-ignore lint/suspicious/noTemplateCurlyInString: it is the Dockerfile's own
    '${RUNTIME_IMAGE}',
    [],
  ])
})

test('the health check is the one of ECS', () => {
  const [value = ''] = valuesOf('HEALTHCHECK')
  const [, options = '', command = ''] = /^(.*) CMD (.*)$/.exec(value) ?? []
  expect(['CMD', ...JSON.parse(command)]).toEqual(HEALTH_CHECK.command)
  const { interval, timeout, retries, startPeriod } = HEALTH_CHECK
  expect(options.split(' ').sort()).toEqual(
    [
      `--interval=${interval}s`,
      `--timeout=${timeout}s`,
      `--retries=${retries}`,
      `--start-period=${startPeriod}s`,
    ].sort(),
  )
})

test('user and directory are those of the tasks and of their file system', () => {
  expect(valuesOf('USER')).toEqual([`${CONTAINER_USER_ID}:${CONTAINER_USER_ID}`])
  expect(valuesOf('WORKDIR').at(-1)).toBe(WORKING_DIRECTORY)
  expect(valuesOf('VOLUME')).toEqual([`${WORKING_DIRECTORY}/data`])
  expect(valuesOf('COPY').filter((value) => value.includes('--chown'))).toEqual([
    `--from=build --chown=${CONTAINER_USER_ID}:${CONTAINER_USER_ID} /app/data ${WORKING_DIRECTORY}/data`,
  ])
})

test('its variables are those of the service, which refuses to be open to everybody with them alone', () => {
  const { NODE_ENV, MALLOC_ARENA_MAX, ...environment } = dockerfileEnvironment()
  expect([NODE_ENV, MALLOC_ARENA_MAX]).toEqual(['production', '1'])
  expect(Object.keys(environment).filter((name) => !(name in VARIABLES))).toEqual([])
  expect(() => loadConfig(environment)).toThrow(/^HOST: 0\.0\.0\.0 is open to others/)
  expect(loadConfig({ ...environment, ALLOW_ANONYMOUS: 'true' })).toMatchObject({ ADMIN_HOST: '127.0.0.1' })
  expect(valuesOf('EXPOSE')).toEqual([String(VARIABLES.PORT?.default)])
})

test('its labels say what package.json says', () => {
  const [labels] = valuesOf('LABEL')
  expect(labels).toContain(`image.description="${packageJson.description}"`)
  expect(labels).toContain(`image.licenses="${packageJson.license}"`)
})
