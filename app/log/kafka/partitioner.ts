/** Key → partition, with the hash of Kafka's own clients (murmur2), so that all producers agree on the partition. */
import { compatibilityPartitioner } from '@platformatic/kafka'

/** Keys repeat, so the bytes and the hash of this many keys are cached. */
const MAX_KEYS = 65_536

interface Placed {
  readonly key: Buffer | undefined
  readonly partition: number
}

export class Partitioner {
  readonly #partitions: number
  readonly #known = new Map<string, Placed>()
  #next = 0

  constructor(partitions: number) {
    this.#partitions = partitions
  }

  /** The partition of a key. Without a key: the partitions in turn. */
  place(key: string | undefined): Placed {
    if (key === undefined) {
      this.#next = (this.#next + 1) % this.#partitions
      return { key: undefined, partition: this.#next }
    }
    const known = this.#known.get(key)
    if (known) return known
    const bytes = Buffer.from(key)
    const placed = { key: bytes, partition: compatibilityPartitioner(undefined as never, bytes) % this.#partitions }
    if (this.#known.size >= MAX_KEYS) this.#known.clear()
    this.#known.set(key, placed)
    return placed
  }
}
