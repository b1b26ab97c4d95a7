import { expect, test } from 'vitest'
import { Partitioner } from '../../../app/log/kafka/partitioner.ts'

test('keys go where the clients of Kafka itself put them', () => {
  // From org.apache.kafka.common.utils.UtilsTest, testMurmur2: hashes of these bytes.
  const hashes = { '21': -973932308, foobar: -790332482, 'a-little-bit-long-string': -985981536, abc: 479470107 }
  const partitioner = new Partitioner(1000)
  for (const [key, hash] of Object.entries(hashes)) {
    expect(partitioner.place(key).partition, key).toBe((hash & 0x7fffffff) % 1000)
    expect(partitioner.place(key).key?.toString()).toBe(key)
  }
})

test('without a key, one partition after the other', () => {
  const partitioner = new Partitioner(3)
  const places = Array.from({ length: 6 }, () => partitioner.place(undefined).partition)
  expect(places.toSorted()).toEqual([0, 0, 1, 1, 2, 2])
})
