import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest'
import type { KafkaConnection } from '../../app/log/kafka/connection.ts'
import { KafkaLog } from '../../app/log/kafka/kafka-log.ts'
import { batchOf } from '../support/batch.ts'
import { IAM_SESSION_MS, Kafka, missing } from '../support/kafka.ts'
import { startTaskRole } from '../support/kafka-iam.ts'

const reason = missing()
if (reason !== undefined) console.error(`who may use the brokers is not tested: ${reason}`)

describe.skipIf(reason !== undefined)('who may use the brokers', () => {
  let kafka: Kafka
  beforeAll(async () => {
    kafka = await Kafka.start({ secure: true })
  })
  afterAll(() => kafka?.stop())

  const open = (connection: KafkaConnection) =>
    KafkaLog.open({
      connection,
      topic: { name: 'secure', replication: 1, minInSync: 1, create: true, partitions: 2, retentionMs: 3_600_000 },
      writeTimeoutMs: 5000,
      groupPrefix: `secure-${connection.auth}`,
      shared: true,
    })

  test.each(['scram-sha-512', 'mtls'] as const)('%s: written and read over TLS', async (auth) => {
    const log = await open(kafka.connection(auth))
    await log.append([batchOf(1, 2, 3)])
    const consumer = await log.consumer('reader')
    const seen = new Set<string>()
    while (seen.size < 3) {
      const group = await consumer.read(AbortSignal.timeout(10_000))
      for (const line of group?.payload.toString().trimEnd().split('\n') ?? []) seen.add(line)
    }
    await log.close()
  })

  test('signed in anew while it runs: connections outlive the session that the broker grants', async () => {
    const log = await open(kafka.connection('scram-sha-512'))
    for (const until = performance.now() + 25_000; performance.now() < until; ) {
      expect(await log.append([batchOf('again')])).toEqual([])
      await new Promise((resolve) => setTimeout(resolve, 500))
    }
    await log.close()
  })

  test('msk-iam: signed with the role of the task, and again before the session of the broker ends', async () => {
    const role = await startTaskRole()
    onTestFinished(() => {
      role.stop()
      vi.unstubAllEnvs()
    })
    for (const [name, value] of Object.entries(role.environment)) vi.stubEnv(name, value)
    const log = await open(kafka.connection('msk-iam'))
    const before = kafka.signIns.count
    for (const until = performance.now() + 3 * IAM_SESSION_MS; performance.now() < until; ) {
      expect(await log.append([batchOf('signed')])).toEqual([])
      await new Promise((resolve) => setTimeout(resolve, 200))
    }
    expect(kafka.signIns.refused).toEqual([])
    expect(kafka.signIns.count).toBeGreaterThan(before + 2)
    await expect(open({ ...kafka.connection('msk-iam'), awsRegion: 'us-east-1' })).rejects.toMatchObject({
      code: 'LOG_UNAVAILABLE',
    })
    expect(kafka.signIns.refused).toContain('signed for kafka.us-east-1.amazonaws.com')
    await log.close()
  })

  test('a wrong password is refused, in one line that does not show it', async () => {
    const wrong = open({ ...kafka.connection('scram-sha-512'), password: 'hunter2hunter2' })
    await expect(wrong).rejects.toMatchObject({
      code: 'LOG_UNAVAILABLE',
      message: expect.stringMatching(/^Kafka cannot be used \(SASL_AUTHENTICATION_FAILED\): check [^\n]*$/),
    })
    await expect(wrong).rejects.not.toMatchObject({ message: expect.stringContaining('hunter2') })
  })

  test('no certificate, or brokers that nobody vouches for: refused', async () => {
    const { certFile, keyFile, ...rest } = kafka.connection('mtls')
    await expect(open({ ...rest, auth: 'tls', certFile: '', keyFile: '' })).rejects.toMatchObject({
      code: 'LOG_UNAVAILABLE',
    })
    await expect(open({ ...rest, certFile, keyFile, caFile: '' })).rejects.toMatchObject({
      message: expect.stringMatching(/self-signed|certificate/),
    })
  })
})
