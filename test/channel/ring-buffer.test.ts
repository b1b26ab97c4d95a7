import fc from 'fast-check'
import { expect, test } from 'vitest'
import { RingBuffer } from '../../app/channel/ring-buffer.ts'

test('property: behaves as an array that is pushed at one end and shifted at the other', () => {
  const step = fc.oneof(
    fc.record({ kind: fc.constant('push' as const), count: fc.integer({ min: 1, max: 40 }) }),
    fc.record({ kind: fc.constant('shift' as const), count: fc.integer({ min: 1, max: 40 }) }),
    fc.record({ kind: fc.constant('shiftInto' as const), count: fc.integer({ min: 0, max: 40 }) }),
  )
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
      const ring = new RingBuffer<number>()
      const model: number[] = []
      let next = 0
      for (const { kind, count } of steps) {
        if (kind === 'push') {
          for (let at = 0; at < count; at++) {
            ring.push(next)
            model.push(next++)
          }
        } else if (kind === 'shift') {
          for (let at = 0; at < count; at++) expect(ring.shift()).toBe(model.shift())
        } else {
          const out: number[] = [-1]
          expect(ring.shiftInto(out, count)).toBe(Math.min(count, model.length))
          expect(out).toEqual([-1, ...model.splice(0, count)])
        }
        expect(ring.length).toBe(model.length)
        expect(ring.peek()).toBe(model[0])
      }
    }),
  )
})
