import * as fc from 'fast-check'
import { Histogram, Registry } from 'prom-client'
import { expect, test } from 'vitest'
import { PlainHistogram } from '../../app/observability/histogram.ts'

test('prints what the histogram of prom-client prints, for any observations', async () => {
  const bounds = fc.uniqueArray(fc.double({ min: 0, max: 10, noNaN: true }), { minLength: 1, maxLength: 8 })
  await fc.assert(
    fc.asyncProperty(bounds, fc.array(fc.double({ min: -1, max: 20, noNaN: true })), async (unsorted, values) => {
      const buckets = unsorted.sort((a, b) => a - b)
      const [plain, known] = [new Registry(), new Registry()]
      const options = { name: 'seconds', help: 'What it is.', buckets }
      const ours = new PlainHistogram({ ...options, registers: [plain] })
      const theirs = new Histogram({ ...options, registers: [known] })
      // On a bound, too: it belongs to the bucket that it bounds.
      for (const value of [...values, ...buckets]) {
        ours.observe(value)
        theirs.observe(value)
      }
      expect(await plain.metrics()).toBe(await known.metrics())
    }),
  )
})
