import fc from 'fast-check'
import { expect, test } from 'vitest'
import { decode } from '../../app/delivery/decode.ts'
import { Item, linesOf } from '../../app/event/item.ts'
import { Known } from '../../app/write.ts'
import { itemIn } from '../support/events.ts'

const event = { specversion: '1.0', id: 'a', source: '/s', type: 't' }

/** The items of a group as the log has it. */
function itemsOf(lines: readonly string[], known: Known): Item[] {
  const payload = Buffer.from(lines.map((line) => `${line}\n`).join(''))
  const place = { logId: 'log', partition: 0, baseOffset: 3, appendedAtMs: 0 }
  return decode({ ...place, count: lines.length, known, payload }).flatMap((block) =>
    block === undefined ? [] : Array.from({ length: block.count }, (_, index) => new Item(block, index)),
  )
}

test('attributes are read as they were written, escapes and all', () => {
  const item = itemIn({ event: { ...event, subject: 'é "x"\n', time: '2026-01-31T12:00:00Z', ext: 1, data: [1] } })
  expect(item).toMatchObject({ id: 'a', source: '/s', type: 't', subject: 'é "x"\n', time: '2026-01-31T12:00:00Z' })
  expect(item.key).toBe('é "x"\n')
  expect(itemIn({ event }).key).toBe('/s')
  expect(item.data?.toString()).toBe('[1]')
  expect(itemIn({ event }).data).toBeUndefined()
  expect([...item.members()].map(([name, , isExtension]) => [name, isExtension])).toContainEqual(['ext', true])
})

test('property: an item of a block of any size says what its line says', () => {
  const record = fc.record({
    id: fc.string({ minLength: 1, maxLength: 8 }),
    subject: fc.option(fc.string({ minLength: 1, maxLength: 8 }), { nil: undefined }),
    size: fc.oneof(fc.nat(60), fc.nat(60_000)),
  })
  fc.assert(
    fc.property(
      fc.array(record, { minLength: 1, maxLength: 20 }),
      fc.constantFrom(...Object.values(Known)),
      (list, known) => {
        const events = list.map(({ id, subject, size }) => ({ ...event, id, subject, data: 'x'.repeat(size) }))
        const lines = events.map((one) => JSON.stringify(one))
        const items = itemsOf(lines, known)
        expect(items.map(({ json }) => json.toString())).toEqual(lines)
        expect(items.map(({ offset }) => offset)).toEqual(lines.map((_, at) => 3 + at))
        expect(items.map(({ id, key }) => [id, key])).toEqual(list.map(({ id, subject }) => [id, subject ?? '/s']))
        expect(items.map(({ data }) => data?.length)).toEqual(list.map(({ size }) => size + 2))
        const some = items.filter((_, at) => at % 3 > 0)
        expect(Buffer.concat(linesOf(some)).toString()).toBe(some.map(({ json }) => `${json}\n`).join(''))
      },
    ),
    { numRuns: 60 },
  )
})

test('lines of one block that follow each other are not copied', () => {
  const items = itemsOf(['{"data":1}', '{"data":2}', '{"data":3}'], Known.NOTHING)
  const [run, ...others] = linesOf(items)
  expect(others).toEqual([])
  expect(run?.buffer).toBe(items[0]?.block.lines.buffer)
})
