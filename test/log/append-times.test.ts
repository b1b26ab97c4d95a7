import fc from 'fast-check'
import { expect, test } from 'vitest'
import { AppendTimes } from '../../app/log/append-times.ts'
import { Offsets } from '../../app/log/kafka/offsets.ts'

/** Milliseconds from one append to the next. */
const gaps = fc.array(fc.oneof(fc.nat({ max: 50 }), fc.nat({ max: 100_000 })), { minLength: 1, maxLength: 200 })
const timesOf = (steps: readonly number[]) => {
  let atMs = 1e12
  return steps.map((gap) => {
    atMs += gap
    return atMs
  })
}

test('property: noted as they come, an event is never younger than it is said to be, nor 500 ms older', () => {
  fc.assert(
    fc.property(gaps, fc.nat(), (steps, from) => {
      const appended = timesOf(steps)
      const times = new AppendTimes()
      for (const [offset, atMs] of appended.entries()) times.add(offset, atMs)
      times.forget(from % appended.length)
      for (let offset = from % appended.length; offset < appended.length; offset++) {
        const truth = appended[offset] as number
        const at = times.at(offset) as number
        expect(at).toBeLessThanOrEqual(truth)
        expect(truth - at).toBeLessThan(500)
      }
    }),
  )
})

test('property: noted in any order, and only some of them, none is said to be younger than it is', () => {
  const some = gaps.chain((steps) => fc.tuple(fc.constant(steps), fc.shuffledSubarray([...steps.keys()])))
  fc.assert(
    fc.property(some, ([steps, noted]) => {
      const appended = timesOf(steps)
      const times = new AppendTimes()
      for (const offset of noted) times.add(offset, appended[offset] as number)
      const first = Math.min(...noted)
      for (const [offset, truth] of appended.entries()) {
        if (offset < first) expect(times.at(offset)).toBeUndefined()
        else expect(times.at(offset)).toBeLessThanOrEqual(truth)
      }
    }),
  )
})

test('property: what was cut off says nothing of the events that get its offsets', () => {
  fc.assert(
    fc.property(gaps, fc.nat(), fc.nat({ max: 10_000_000 }), (steps, cut, laterMs) => {
      const appended = timesOf(steps)
      const times = new AppendTimes()
      for (const [offset, atMs] of appended.entries()) times.add(offset, atMs)
      const end = cut % appended.length
      times.cutOff(end)
      const againMs = (appended.at(-1) as number) + 500 + laterMs
      times.add(end, againMs)
      expect(times.at(end)).toBe(againMs)
      if (end > 0) expect(times.at(end - 1)).toBeLessThanOrEqual(appended[end - 1] as number)
    }),
  )
})

test('its memory has a bound, and what is old is still never too young', () => {
  const times = new AppendTimes()
  for (let offset = 0; offset < 100_000; offset++) times.add(offset, 1000 * offset)
  for (let offset = 0; offset < 100_000; offset += 777) {
    const at = times.at(offset) as number
    expect(at).toBeLessThanOrEqual(1000 * offset)
    // The further back, the coarser: within a share of the age.
    expect(1000 * offset - at).toBeLessThan(2000 + 0.005 * 1000 * (100_000 - offset))
  }
})

type Step =
  | { readonly kind: 'append'; readonly events: number }
  | { readonly kind: 'look' | 'read' | 'settle' }
  | { readonly kind: 'wait'; readonly ms: number }

/** What the Kafka engine does: it looks at ends now and then, and reads and commits when it can. */
const steps = fc.array(
  fc.oneof(
    fc.record({ kind: fc.constant('append' as const), events: fc.integer({ min: 1, max: 5 }) }),
    fc.record({ kind: fc.constantFrom('look' as const, 'read' as const, 'settle' as const) }),
    fc.record({ kind: fc.constant('wait' as const), ms: fc.nat({ max: 1000 }) }),
  ),
  { maxLength: 80 },
)

test('property: of a partition in Kafka, the oldest event that is seen is never said to be younger than it is', () => {
  fc.assert(
    fc.property(steps, (program: readonly Step[]) => {
      const offsets = new Offsets()
      offsets.add(0, 0)
      const appended: number[] = []
      let [nowMs, read, seen] = [1e12, 0, 0]
      offsets.reached(0, 0, nowMs)
      for (const step of program) {
        if (step.kind === 'append') for (let event = 0; event < step.events; event++) appended.push(nowMs)
        else if (step.kind === 'wait') nowMs += step.ms
        else if (step.kind === 'look') {
          offsets.reached(0, appended.length, nowMs)
          seen = appended.length
        } else if (step.kind === 'read' && read < appended.length) {
          offsets.noteAppended(0, read, appended[read] as number)
          offsets.reached(0, appended.length) // the high watermark of the answer
          seen = appended.length
          read += 1
        } else if (step.kind === 'settle' && read > offsets.committed(0)) {
          offsets.commit([{ partition: 0, offset: read, deadLettered: 0, damaged: 0 }])
        }
        const oldest = offsets.oldestAppendedAtMs
        const committed = offsets.committed(0)
        if (committed >= seen) expect(oldest).toBeUndefined()
        else expect(oldest).toBeLessThanOrEqual(appended[committed] as number)
      }
    }),
    { numRuns: 200 },
  )
})
