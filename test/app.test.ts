import { expect, test } from 'vitest'
import { ownOutput } from '../app/app.ts'
import { loadConfig } from '../app/config.ts'

test('our own lines go to standard error only where standard output belongs to events', () => {
  expect(ownOutput(loadConfig({}))).toBe(process.stdout)
  expect(ownOutput(loadConfig({ SINKS: 'stdout' }))).toBe(process.stderr)
  const ingest = { ROLE: 'ingest', LOG_ENGINE: 'kafka', KAFKA_BROKERS: 'localhost:9092', SINKS: 'stdout' }
  expect(ownOutput(loadConfig(ingest))).toBe(process.stdout)
})
