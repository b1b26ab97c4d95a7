/**
 * `millrace/client/indexed-db`: keeps batches in the browser after the end of a page. The next page of the same origin
 * that opens the same name sends them.
 *
 * Pages that are open at the same time share the database. Each page holds a Web Lock with its own name while it lives,
 * and takes over only batches of pages without a lock. Web Locks need a secure context. Without them, each new page
 * takes over all batches, so two pages may send the same batch. The ids of the events are the same, so a service that
 * deduplicates stores them once.
 */
import type { Body, Store, StoredBatch } from './store.ts'
import { uuidv7 } from './uuid.ts'

export interface IndexedDbOptions {
  /** Name of the database. Default: `millrace`. */
  readonly name?: string
  /**
   * Limit for all batches of this page, including those that it took over. Default: 16 MiB. Then events stay in memory.
   */
  readonly maxBytes?: number
}

type Key = number

interface Row {
  page: string
  readonly body: Body
  readonly events: number
}

const TABLE = 'batches'

/** Does not open the database yet. If the browser refuses it, `onStoreFailure` is called when the client loads it. */
export function openIndexedDb({ name = 'millrace', maxBytes = 16 * 1024 * 1024 }: IndexedDbOptions = {}): Store<Key> {
  return new IndexedDbStore(name, maxBytes)
}

class IndexedDbStore implements Store<Key> {
  readonly #name: string
  readonly #maxBytes: number
  readonly #page = uuidv7()
  readonly #sizes = new Map<Key, number>()
  #bytes = 0
  #database: IDBDatabase | undefined
  #endLock: () => void = () => undefined

  constructor(name: string, maxBytes: number) {
    this.#name = name
    this.#maxBytes = maxBytes
  }

  async load(): Promise<readonly StoredBatch<Key>[]> {
    await this.#holdLock()
    const opening = indexedDB.open(this.#name, 1)
    opening.onupgradeneeded = () => {
      opening.result.createObjectStore(TABLE, { autoIncrement: true })
    }
    this.#database = await resultOf(opening)
    const take = () => this.#takeOver()
    // Only one page at a time takes over batches.
    return navigator.locks ? navigator.locks.request(`${this.#name} take over`, take) : take()
  }

  async add(body: Body, events: number): Promise<Key> {
    const bytes = this.#bytes + body.length
    if (bytes > this.#maxBytes) throw new Error(`the store would have ${bytes} bytes, the limit is ${this.#maxBytes}`)
    const row: Row = { page: this.#page, body, events }
    const { table, done } = this.#transaction('readwrite')
    const key = (await resultOf(table.add(row))) as Key
    await done
    this.#count(key, body.length)
    return key
  }

  async read(key: Key): Promise<Body> {
    const row: Row | undefined = await resultOf(this.#transaction('readonly').table.get(key))
    if (row === undefined) throw new Error(`batch ${key} is no longer in the database`)
    return row.body
  }

  async remove(key: Key): Promise<void> {
    const { table, done } = this.#transaction('readwrite')
    table.delete(key)
    await done
    this.#bytes -= this.#sizes.get(key) ?? 0
    this.#sizes.delete(key)
  }

  async close(): Promise<void> {
    this.#database?.close()
    this.#endLock()
  }

  /** Held until the page ends, or the store is closed. */
  #holdLock(): Promise<void> {
    if (!navigator.locks) return Promise.resolve()
    return new Promise((resolve, reject) => {
      const hold = () => {
        resolve()
        return new Promise<void>((end) => {
          this.#endLock = end
        })
      }
      navigator.locks.request(this.#lockOf(this.#page), hold).catch(reject)
    })
  }

  async #takeOver(): Promise<readonly StoredBatch<Key>[]> {
    const held = new Set((await navigator.locks?.query())?.held?.map(({ name }) => name))
    const { table, done } = this.#transaction('readwrite')
    const batches: StoredBatch<Key>[] = []
    const reading = table.openCursor()
    reading.onsuccess = () => {
      const cursor = reading.result
      if (!cursor) return
      const row: Row = cursor.value
      if (!held.has(this.#lockOf(row.page))) {
        const key = cursor.key as Key
        cursor.update({ ...row, page: this.#page })
        batches.push({ key, events: row.events, bytes: row.body.length })
        this.#count(key, row.body.length)
      }
      cursor.continue()
    }
    await done
    return batches
  }

  #lockOf(page: string): string {
    return `${this.#name} ${page}`
  }

  #count(key: Key, bytes: number): void {
    this.#sizes.set(key, bytes)
    this.#bytes += bytes
  }

  #transaction(mode: IDBTransactionMode): { readonly table: IDBObjectStore; readonly done: Promise<void> } {
    if (!this.#database) throw new Error('the database could not be opened')
    const transaction = this.#database.transaction(TABLE, mode)
    const done = new Promise<void>((resolve, reject) => {
      transaction.oncomplete = () => resolve()
      transaction.onabort = () => reject(transaction.error ?? new Error('the transaction was aborted'))
    })
    done.catch(() => undefined) // a caller that waits for it gets the error; a read waits for its result alone
    return { table: transaction.objectStore(TABLE), done }
  }
}

function resultOf<Result>(request: IDBRequest<Result>): Promise<Result> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result)
    request.onerror = () => reject(request.error)
  })
}
