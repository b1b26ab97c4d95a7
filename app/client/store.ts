/** Keeps batches outside of memory: `millrace/client/spool` in Node, `millrace/client/indexed-db` in a page. */

/** NDJSON: complete events, each line ended by a newline. */
export type Body = Uint8Array<ArrayBuffer>

export interface StoredBatch<Key = unknown> {
  readonly key: Key
  readonly events: number
  readonly bytes: number
}

/** The client makes one call at a time, except for `read`. */
export interface Store<Key = unknown> {
  /** The batches of earlier runs, oldest first. Called once, before any other method. */
  load(): Promise<readonly StoredBatch<Key>[]>
  /**
   * Resolves once the batch outlives this process.
   * @throws Error when there is no room; then the batch stays in memory.
   */
  add(body: Body, events: number): Promise<Key>
  read(key: Key): Promise<Body>
  /** Removes a batch that was answered. */
  remove(key: Key): Promise<void>
  close(): Promise<void>
}
