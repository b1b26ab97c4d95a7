import { hash } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { configTable } from '../app/cli/config-table.ts'
import { loadConfig, VARIABLES } from '../app/config.ts'
import { temporaryDirectory } from './support/temporary.ts'

const S3 = { SINKS: 's3', S3_SINK_BUCKET: 'my-bucket' }
const KAFKA = { LOG_ENGINE: 'kafka', KAFKA_BROKERS: 'localhost:9092' }

describe('configuration', () => {
  test('needs nothing: every default is valid and inside its own range', () => {
    const config = loadConfig({}) as unknown as Record<string, unknown>
    for (const [name, variable] of Object.entries(VARIABLES)) {
      expect(config[name], name).toEqual(variable.default)
      if (typeof variable.default !== 'number') continue
      expect(variable.default, name).toBeGreaterThanOrEqual(variable.minimum ?? Number.NaN)
      expect(variable.default, name).toBeLessThanOrEqual(variable.maximum ?? Number.NaN)
    }
    expect(Object.isFrozen(config)).toBe(true)
  })

  test('an empty variable is as good as none', () => {
    expect(loadConfig({ PORT: '' }).PORT).toBe(3000)
  })

  test.each([
    [{ PORT: 'http' }, /^PORT: "http" is not a whole number from 0 to 65535\. Port of the public/],
    [{ PORT: '70000' }, /^PORT: "70000" is not a whole number from 0 to 65535/],
    [{ CHANNEL_CAPACITY_EVENTS: '0' }, /^CHANNEL_CAPACITY_EVENTS: "0" is not a whole number from 1/],
    [{ LOG_RETENTION_MS: '-1' }, /^LOG_RETENTION_MS: "-1" is not/],
    [{ LOG_RETENTION_MS: '1e3' }, /^LOG_RETENTION_MS: "1e3" is not/],
    [{ ROLE: 'everything' }, /^ROLE: "everything" is not one of all/],
    [{ ALLOW_ANONYMOUS: 'yes' }, /^ALLOW_ANONYMOUS: "yes" is not true or false/],
    [{ SINKS: 'file,kinesis' }, /^SINKS: "file,kinesis" is not a list of file, stdout, http/],
    [{ SINKS: 's3' }, /^S3_SINK_BUCKET: the s3 sink needs it: "" is not the name of a bucket/],
    [{ ...S3, S3_SINK_PREFIX: 'no-slash' }, /^S3_SINK_PREFIX: "no-slash" must end with a slash, like "events\/"/],
    [{ ...S3, S3_SINK_ENDPOINT: 'localhost:9000' }, /^S3_SINK_ENDPOINT: it must begin with http/],
    [{ SINKS: 'file,file' }, /^SINKS: "file,file" is not a list without repetitions/],
    [{ SINKS: 'http' }, /^HTTP_SINK_URL: the http sink needs it/],
    [{ SINKS: 'http', HTTP_SINK_URL: 'ftp://example.com' }, /^HTTP_SINK_URL: it must begin with http/],
    [
      { SINKS: 'http', HTTP_SINK_URL: 'https://user:secret@example.com/?token=t' },
      /^HTTP_SINK_URL: it holds a user or a password, which no request can carry: sign with HTTP_SINK_SECRET$/,
    ],
    [{ HOST: '0.0.0.0' }, /^HOST: 0\.0\.0\.0 is open to others and no key is set: set API_KEYS/],
    [{ CHANNEL_CAPACITY_BYTES: '2000' }, /^CHANNEL_CAPACITY_BYTES: 2000 cannot hold one body/],
    [{ IN_PROGRESS_MAX_BYTES: '2000' }, /^IN_PROGRESS_MAX_BYTES: 2000 cannot hold one body/],
    [{ DEAD_LETTER_MAX_BYTES: '1048576' }, /^DEAD_LETTER_MAX_BYTES: 1048576 may not hold one event of MAX_BODY_BYTES/],
    [{ ROLE: 'ingest' }, /^ROLE: ingest shares its log with other processes: that needs LOG_ENGINE=kafka/],
    [{ LOG_ENGINE: 'kafka' }, /^KAFKA_BROKERS: LOG_ENGINE is kafka: name some brokers/],
    [
      { ...KAFKA, DEDUPLICATION_WINDOW_EVENTS: '10' },
      /^DEDUPLICATION_WINDOW_EVENTS: around Kafka several processes write/,
    ],
    [{ ...KAFKA, KAFKA_BROKERS: 'broker' }, /^KAFKA_BROKERS: "broker" is not host:port/],
    [{ ...KAFKA, KAFKA_TOPIC: 'a topic' }, /^KAFKA_TOPIC: use 1 to 200 letters/],
    [
      { ...KAFKA, KAFKA_REPLICATION: '1' },
      /^KAFKA_MIN_IN_SYNC: 2 copies cannot be in sync where there are KAFKA_REPLICATION=1/,
    ],
    [
      { ...KAFKA, KAFKA_AUTH: 'scram-sha-512', KAFKA_USERNAME: 'me' },
      /^KAFKA_PASSWORD: KAFKA_AUTH=scram-sha-512 needs it/,
    ],
    [{ ...KAFKA, KAFKA_AUTH: 'mtls' }, /^KAFKA_CERT_FILE: KAFKA_AUTH=mtls needs it/],
    [{ ...KAFKA, KAFKA_AUTH: 'msk-iam' }, /^KAFKA_AWS_REGION: KAFKA_AUTH=msk-iam needs it/],
    [{ API_KEYS_FILE: '/does/not/exist' }, /^API_KEYS_FILE: cannot read it \(ENOENT/],
    [{ API_KEYS_FILE: '/x', API_KEYS: 'a:0123456789abcdef' }, /^API_KEYS_FILE: API_KEYS is set as well/],
  ])('%j is refused in one line that names the variable', (environment, message) => {
    expect(() => loadConfig(environment)).toThrow(message)
    expect(() => loadConfig(environment)).toThrow(/^[^\n]*$/)
  })

  test.each([
    [{ API_KEYS: 'shop:hunter2' }, /entry 1 is not "name:key"/],
    [{ API_KEYS: 'shop:0123456789abcdef,shop:hunter2hunter2hunter2' }, /entry 2 repeats the name shop/],
    [{ HTTP_SINK_SECRET: 'hunter2 hunter2' }, /HTTP_SINK_SECRET: the given value is not base64/],
  ])('a bad secret is refused without being shown', (environment, message) => {
    expect(() => loadConfig(environment)).toThrow(message)
    expect(() => loadConfig(environment)).not.toThrow(/hunter2/)
  })

  test('keys come from the environment or a file, and are nowhere else in the configuration', () => {
    const path = join(temporaryDirectory(), 'keys')
    writeFileSync(path, '# tills\ntill:fedcba9876543210\n\nshop:0123456789abcdef\n')
    for (const environment of [{ API_KEYS: 'till:fedcba9876543210,shop:0123456789abcdef' }, { API_KEYS_FILE: path }]) {
      const config = loadConfig({ ...environment, HOST: '0.0.0.0' })
      expect([...config.apiKeys]).toEqual([
        ['till', { sha256: hash('sha256', 'fedcba9876543210') }],
        ['shop', { sha256: hash('sha256', '0123456789abcdef') }],
      ])
      expect(JSON.stringify(config)).not.toContain('0123456789abcdef')
    }
  })

  test('each role runs around Kafka, signed in or not', () => {
    for (const ROLE of ['all', 'ingest', 'deliver']) expect(loadConfig({ ...KAFKA, ROLE }).ROLE).toBe(ROLE)
    const brokers = 'b-1.example.com:9098,[::1]:9098'
    const config = loadConfig({
      ...KAFKA,
      KAFKA_BROKERS: brokers,
      KAFKA_AUTH: 'msk-iam',
      KAFKA_AWS_REGION: 'eu-central-1',
    })
    expect(config.KAFKA_BROKERS).toEqual(brokers.split(','))
  })

  test('anyone may send from outside only when that is said', () => {
    expect(loadConfig({ HOST: '0.0.0.0', ALLOW_ANONYMOUS: 'true' }).HOST).toBe('0.0.0.0')
    for (const HOST of ['127.0.0.1', '::1', 'localhost']) expect(loadConfig({ HOST }).HOST).toBe(HOST)
  })

  test('the table has a row for each variable', () => {
    expect(configTable().split('\n')).toHaveLength(Object.keys(VARIABLES).length + 2)
  })
})

test('every duration is one that a timer takes, or one that is compared and never timed', () => {
  // FILE_SINK_ROLL_MS is waited for in steps; the others are compared with the age of what is kept.
  const untimed = new Set(['FILE_SINK_ROLL_MS', 'KAFKA_RETENTION_MS', 'LOG_RETENTION_MS'])
  const durations = Object.entries(VARIABLES).filter(([name]) => name.endsWith('_MS'))
  expect(durations.length).toBeGreaterThan(12)
  for (const [name, { maximum }] of durations) {
    if (!untimed.has(name)) expect(maximum, name).toBeLessThan(2 ** 31)
  }
})
