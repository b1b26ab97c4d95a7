/** `millrace config`: what a start would have, and where each part came from; never a secret. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { VARIABLES } from '../../app/config.ts'
import { millrace } from '../support/millrace.ts'
import { temporaryDirectory } from '../support/temporary.ts'

const SECRETS = {
  API_KEYS: 'shop:hunter2-hunter2-hunter2',
  ADMIN_TOKEN: 'hunter2-hunter2-hunter2',
  HTTP_SINK_URL: 'https://example.com/services/hunter2?key=hunter2',
  HTTP_SINK_SECRET: 'whsec_aHVudGVyMmh1bnRlcjI=',
  POSTGRES_SINK_URL: 'postgres://me:hunter2@localhost/shop',
  POSTGRES_SINK_PASSWORD: 'hunter2',
  MILLRACE_KAFKA_PASSWORD: 'hunter2',
}

test('a line for each variable, with its value and where that came from', async () => {
  const env = { PORT: '8080', MILLRACE_LOG_LEVEL: 'warn', KAFKA_BROKER: 'localhost:9092' }
  const { code, stdout, stderr } = await millrace(['config'], { env })
  expect([code, stderr]).toEqual([
    0,
    'millrace: KAFKA_BROKER is set, but is not a variable of Millrace: did you mean KAFKA_BROKERS?\n',
  ])
  const lines = stdout.trimEnd().split('\n')
  expect(lines).toEqual(
    expect.arrayContaining([
      'environment  PORT=8080',
      'alias        LOG_LEVEL=warn (MILLRACE_LOG_LEVEL)',
      'default      HOST=127.0.0.1',
      'default      SINKS=file',
    ]),
  )
  const shown = lines.map((line) => /^\w+ +([A-Z0-9_]+)=/.exec(line)?.[1]).filter((name) => name !== undefined)
  expect(shown).toEqual(Object.keys(VARIABLES))
})

test('routes of the environment, then those of the file, with their options', async () => {
  const cwd = temporaryDirectory()
  const config = `const sink = () => ({ concurrency: 1, maxBatchEvents: 1, write: async () => undefined, close: async () => {} })
export default {
  handlers: { mark: (event) => event },
  sinks: { audit: sink },
  routes: [
    { name: 'orders', filter: () => true, handlers: ['mark'], sink: 'file', options: { FILE_SINK_DIR: './orders' } },
    { name: 'audit', sink: 'audit', options: { password: 'hunter2', RETRY_BASE_MS: 5 } },
    { name: 'hook', sink: 'http', options: { HTTP_SINK_URL: 'https://example.com/hunter2' } },
  ],
}\n`
  writeFileSync(join(cwd, 'millrace.config.mjs'), config)
  const run = async (env: Readonly<Record<string, string>>) => {
    const { stdout } = await millrace(['config'], { cwd, env })
    expect(stdout).not.toContain('hunter2')
    return stdout.split('\n').filter((line) => /^\w+ +route/.test(line))
  }
  const ofFile = [
    'file         route orders: events of its filter through mark into file with FILE_SINK_DIR=./orders',
    'file         route audit: every event into audit with password=(hidden), RETRY_BASE_MS=5',
    'file         route hook: every event into http with HTTP_SINK_URL=https://example.com/(hidden)',
  ]
  expect(await run({})).toEqual(ofFile)
  expect(await run({ MILLRACE_SINKS: 'stdout', HANDLERS: 'mark' })).toEqual([
    'alias        route stdout: every event through mark into stdout',
    ...ofFile,
  ])
})

test('no secret is shown, wherever it stands, and whether it is valid or not', async () => {
  const { code, stdout } = await millrace(['config'], { env: SECRETS })
  expect(code).toBe(0)
  for (const name of Object.keys(SECRETS).map((name) => name.replace('MILLRACE_', ''))) {
    expect(stdout).toMatch(new RegExp(`^(environment|alias) +${name}=\\S*\\(hidden\\)`, 'm'))
  }
  expect(stdout).not.toMatch(/hunter2|aHVudGVyMmh1bnRlcjI/)
  const broken = await millrace(['config'], { env: { ...SECRETS, API_KEYS: 'hunter2' } })
  expect([broken.code, broken.stdout]).toEqual([2, ''])
  expect(broken.stderr).not.toContain('hunter2')
})

test('what a start would refuse is refused, with exit code 2', async () => {
  const { code, stdout, stderr } = await millrace(['config'], { env: { HANDLERS: 'smaple' } })
  expect([code, stdout]).toEqual([2, ''])
  expect(stderr).toMatch(
    /^millrace: HANDLERS: there is no handler "smaple" in \S+, which has sample: did you mean sample\?\n$/,
  )
})
