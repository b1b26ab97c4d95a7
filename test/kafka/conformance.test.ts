import { describe } from 'vitest'
import { KafkaLog } from '../../app/log/kafka/kafka-log.ts'
import { logConformance } from '../support/log-conformance.ts'

const brokers = (process.env.KAFKA_BROKERS ?? '').split(',')
const connection = {
  brokers,
  auth: 'none',
  username: '',
  password: '',
  caFile: '',
  certFile: '',
  keyFile: '',
  awsRegion: '',
  requestTimeoutMs: 5000,
} as const

describe('the log in Kafka', () => {
  const open = (name: string, shared: boolean) =>
    KafkaLog.open({
      connection,
      topic: { name, replication: 1, minInSync: 1, create: true, partitions: shared ? 4 : 1, retentionMs: 3_600_000 },
      groupPrefix: name,
      shared,
      observer: { onWarning: (message) => console.error(message) },
    })
  logConformance(() => ({
    open: (name) => open(name, true),
    openDeadLetters: (name) => open(name, false),
    propertyRuns: 5,
  }))
})
