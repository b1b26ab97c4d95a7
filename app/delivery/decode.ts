/** Group → complete events: bytes that stay what they are, with what short events left out filled in. */
import { complete } from '../event/complete.ts'
import { Block } from '../event/item.ts'
import { endOf, nextHead } from '../json/scanner.ts'
import type { Group } from '../log/log.ts'

const NEWLINE = 0x0a
/** Of a block that is known to be complete: large enough to be worth it, small enough to be given back soon. */
const BLOCK_BYTES = 128 * 1024

/**
 * @returns exactly `group.count` events in blocks, in order of offset; undefined for one that is not an event. Millrace never writes
 *   such a thing, but others may write to a Kafka topic, and one bad record must not stop what is behind it.
 * @throws Error when the group holds another number of lines than it says: that is a bug of the log.
 */
export function decode(group: Group): (Block | undefined)[] {
  if (group.count === 0) return []
  const blocks = new Blocks(group)
  if (group.isComplete) blocks.addLines(group.payload)
  else blocks.addCompleted(group.payload)
  if (blocks.count === group.count) return blocks.found
  throw new Error(`group at offset ${group.baseOffset} holds ${blocks.count} events, not ${group.count}`)
}

class Blocks {
  readonly found: (Block | undefined)[] = []
  count = 0
  readonly #group: Group

  constructor(group: Group) {
    this.#group = group
  }

  addLines(payload: Buffer): void {
    const lines = Buffer.from(payload) // the log reads on into its own
    for (let from = 0; from < lines.length; ) {
      const ends: number[] = []
      let to = from
      while (to < lines.length && to - from < BLOCK_BYTES) {
        to = lines.indexOf(NEWLINE, to) + 1 || lines.length
        ends.push(to - from)
      }
      this.#add(lines.subarray(from, to), ends)
      from = to
    }
  }

  addCompleted(payload: Buffer): void {
    const { logId, baseOffset, appendedAtMs } = this.#group
    const origin = { idPrefix: logId, number: baseOffset, time: new Date(appendedAtMs).toISOString() }
    complete(payload, origin, {
      lines: (lines, { places, head: first, texts }) => {
        const ends: number[] = new Array(texts)
        for (let text = 0, head = first; text < texts; text++) {
          ends[text] = endOf(places, head) + 1
          head = nextHead(places, head)
        }
        this.#add(Buffer.from(lines), ends)
      },
      odd: (line) => {
        if (line !== undefined) {
          this.#add(Buffer.concat([line, Buffer.from('\n')]), [line.length + 1])
          return
        }
        this.found.push(undefined)
        this.count += 1
      },
    })
  }

  #add(lines: Buffer, ends: readonly number[]): void {
    const { logId, baseOffset, appendedAtMs } = this.#group
    this.found.push(new Block({ logId, baseOffset: baseOffset + this.count, appendedAtMs }, lines, ends))
    this.count += ends.length
  }
}
