import { Admin } from '@platformatic/kafka'
import { afterAll, beforeAll, describe } from 'vitest'
import type { KafkaConnection } from '../../app/log/kafka/connection.ts'
import { KafkaLog } from '../../app/log/kafka/kafka-log.ts'
import { GIVEN_BROKERS, Kafka, missing } from '../support/kafka.ts'
import { logConformance } from '../support/log-conformance.ts'

const reason = GIVEN_BROKERS ? undefined : missing()
if (reason !== undefined) console.error(`the Kafka engine is not tested: ${reason}`)

const NOTHING = { username: '', password: '', caFile: '', certFile: '', keyFile: '', awsRegion: '' }
const LOCAL = { ...NOTHING, auth: 'none', requestTimeoutMs: 5000 } as const

describe.skipIf(reason !== undefined)('the log in Kafka', () => {
  let kafka: Kafka | undefined
  let connection: KafkaConnection = { ...LOCAL, brokers: GIVEN_BROKERS ?? [] }
  beforeAll(async () => {
    if (GIVEN_BROKERS) return
    kafka = await Kafka.start()
    connection = kafka.connection()
  })
  const topics = new Set<string>()
  afterAll(async () => {
    await kafka?.stop()
    if (GIVEN_BROKERS === undefined) return
    const admin = new Admin({ clientId: 'test', bootstrapBrokers: GIVEN_BROKERS })
    await admin.deleteTopics({ topics: [...topics] })
    await admin.close()
  })

  const open = (name: string, shared: boolean) => {
    topics.add(name)
    return KafkaLog.open({
      connection,
      topic: { name, replication: 1, minInSync: 1, create: true, partitions: shared ? 4 : 1, retentionMs: 3_600_000 },
      writeTimeoutMs: 10_000,
      groupPrefix: name,
      shared,
      observer: { onWarning: (message) => console.error(message) },
    })
  }
  logConformance(() => ({
    open: (name) => open(name, true),
    openDeadLetters: (name) => open(name, false),
    propertyRuns: 20,
  }))
})
