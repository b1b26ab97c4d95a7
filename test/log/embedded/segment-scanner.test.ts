/** Bytes of a segment, changed in any way: every record that is served was written, and the end is reached. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { File } from '../../../app/log/embedded/files.ts'
import { GROUP_HEADER_BYTES, SEGMENT_HEADER_BYTES, writeGroupHeader } from '../../../app/log/embedded/format.ts'
import { SegmentScanner } from '../../../app/log/embedded/segment-scanner.ts'
import { Known } from '../../../app/write.ts'

const RUNS = Number(process.env.MILLRACE_FUZZ_RUNS ?? 2000)
const MAX_MS = 1000

/** Only what a scanner asks; at most `chunk` bytes a call, as a file may. */
function fileOf(bytes: Buffer, chunk: number): File {
  const read = async (buffer: Buffer, offset: number, length: number, position: number) =>
    bytes.copy(buffer, offset, position, Math.min(bytes.length, position + Math.min(length, chunk)))
  return { read } as unknown as File
}

/** JSON that tries to look like a group. */
const text = fc.oneof(fc.string(), fc.constantFrom('MRG1', 'MRG1MRG1', '\\u0000', 'MILLRACE'))
const groups = fc.array(fc.array(text, { minLength: 1, maxLength: 5 }), { maxLength: 8 })

function written(payloads: readonly (readonly string[])[]): { bytes: Buffer; known: Set<string> } {
  const known = new Set<string>()
  let offset = 0
  const parts = payloads.map((lines) => {
    const payload = Buffer.from(lines.map((line) => `${JSON.stringify({ data: line })}\n`).join(''))
    const group = Buffer.concat([Buffer.alloc(GROUP_HEADER_BYTES), payload])
    const place = { baseOffset: offset, appendedAtMs: 1_700_000_000_000, known: Known.NOTHING }
    writeGroupHeader(group, 0, { payloadBytes: payload.length, count: lines.length, ...place })
    known.add(`${offset} ${lines.length} ${payload}`)
    offset += lines.length
    return group
  })
  return { bytes: Buffer.concat([Buffer.alloc(SEGMENT_HEADER_BYTES), ...parts]), known }
}

type Change = (bytes: Buffer) => Buffer
const place = fc.nat(10_000)
const change: fc.Arbitrary<Change> = fc.oneof(
  fc.tuple(place, fc.uint8Array({ maxLength: 80 })).map(
    ([at, more]): Change =>
      (bytes) => {
        const from = at % (bytes.length + 1)
        return Buffer.concat([bytes.subarray(0, from), more, bytes.subarray(from)])
      },
  ),
  fc.tuple(place, fc.nat(300)).map(
    ([at, length]): Change =>
      (bytes) => {
        const from = at % (bytes.length + 1)
        return Buffer.concat([bytes.subarray(0, from), bytes.subarray(from + length)])
      },
  ),
  fc.tuple(place, fc.uint8Array({ minLength: 1, maxLength: 40 })).map(
    ([at, more]): Change =>
      (bytes) => {
        const changed = Buffer.from(bytes)
        changed.set(more.subarray(0, changed.length - (at % (changed.length + 1))), at % (changed.length + 1))
        return changed
      },
  ),
  // A piece of it once more, somewhere else: as a file system that mixed up its blocks.
  fc.tuple(place, place, fc.nat(400)).map(
    ([from, to, length]): Change =>
      (bytes) => {
        const piece = bytes.subarray(from % (bytes.length + 1)).subarray(0, length)
        const target = to % (bytes.length + 1)
        return Buffer.concat([bytes.subarray(0, target), piece, bytes.subarray(target)])
      },
  ),
)

test('property: of a changed segment nothing is served that was not written, and every byte is accounted for', async () => {
  let served = 0
  let damaged = 0
  await fc.assert(
    fc.asyncProperty(
      groups,
      fc.array(change, { maxLength: 4 }),
      fc.integer({ min: 1, max: 4096 }),
      async (payloads, changes, chunk) => {
        const { bytes: sound, known } = written(payloads)
        const bytes = changes.reduce((all, apply) => apply(all), sound)
        const scanner = new SegmentScanner(fileOf(bytes, chunk))
        const startedAt = performance.now()
        let position = SEGMENT_HEADER_BYTES
        let found = 0
        for (;;) {
          const scanned = await scanner.next(bytes.length)
          if (scanned === undefined) break
          expect(scanned.position).toBe(position)
          if (scanned.kind === 'damage') {
            expect(scanned.bytes).toBeGreaterThan(0)
            position += scanned.bytes
            damaged += 1
            continue
          }
          const { header, payload } = scanned
          expect(known).toContain(`${header.baseOffset} ${header.count} ${payload}`)
          position += GROUP_HEADER_BYTES + payload.length
          found += 1
        }
        expect(scanner.position).toBe(position)
        // Zeros at the end are space that was allocated and not used.
        expect(bytes.subarray(position).some((byte) => byte !== 0)).toBe(false)
        if (changes.length === 0) expect(found).toBe(payloads.length)
        expect(performance.now() - startedAt).toBeLessThan(MAX_MS)
        served += found
      },
    ),
    { numRuns: RUNS },
  )
  expect(Math.min(served, damaged)).toBeGreaterThan(RUNS / 4)
})

test('property: random bytes are one damage, or several, and no record', async () => {
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 2000 }), async (random) => {
      const bytes = Buffer.concat([Buffer.alloc(SEGMENT_HEADER_BYTES), random])
      const scanner = new SegmentScanner(fileOf(bytes, 512))
      for (let next = await scanner.next(bytes.length); next; next = await scanner.next(bytes.length)) {
        expect(next.kind).toBe('damage')
      }
    }),
    { numRuns: RUNS / 4 },
  )
})
