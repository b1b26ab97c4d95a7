import { afterAll, beforeAll, describe } from 'vitest'
import { KafkaLog } from '../../app/log/kafka/kafka-log.ts'
import { Kafka, missing } from '../support/kafka.ts'
import { logConformance } from '../support/log-conformance.ts'

const reason = missing()
if (reason !== undefined) console.error(`the Kafka engine is not tested: ${reason}`)

describe.skipIf(reason !== undefined)('the log in Kafka', () => {
  let kafka: Kafka
  beforeAll(async () => {
    kafka = await Kafka.start()
  })
  afterAll(() => kafka?.stop())

  const open = (name: string, shared: boolean) =>
    KafkaLog.open({
      connection: kafka.connection(),
      topic: { name, replication: 1, minInSync: 1, create: true, partitions: shared ? 4 : 1, retentionMs: 3_600_000 },
      writeTimeoutMs: 10_000,
      groupPrefix: name,
      shared,
      observer: { onWarning: (message) => console.error(message) },
    })
  logConformance(() => ({
    open: (name) => open(name, true),
    openDeadLetters: (name) => open(name, false),
    propertyRuns: 20,
  }))
})
