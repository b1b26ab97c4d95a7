import { expect, test } from 'vitest'
import { read } from '../../bench/support/wrk.ts'

const report = (notAccepted: number, broken: number) =>
  `Running 1s test @ http://127.0.0.1:1\nRequests/sec: 12.00\n{"requests":3000,"seconds":1.5,"p50Ms":2.5,"p99Ms":9,"notAccepted":${notAccepted},"broken":${broken}}\n`

test('the line of the script is read out of what wrk says', () => {
  expect(read(report(0, 0))).toEqual({ requestsPerSecond: 2000, p50Ms: 2.5, p99Ms: 9 })
})

test('requests that were refused, or broke, are no measurement', () => {
  expect(() => read(report(7, 0))).toThrow('7 of 3000 requests were not accepted')
  expect(() => read(report(0, 1))).toThrow('1 of 3000 requests broke')
  expect(() => read('unable to connect')).toThrow('wrk gave no result')
})
