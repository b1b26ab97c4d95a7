/** What `millrace/client/indexed-db` has in the database of a page. */
import type { Page } from 'playwright-core'

/** Events that would survive the page. Those of the last `maxBatchAgeMs` are in memory only. */
export function storedEvents(page: Page): Promise<number> {
  return page.evaluate(`new Promise((resolve, reject) => {
    const opening = indexedDB.open('millrace')
    opening.onerror = () => reject(opening.error)
    opening.onsuccess = () => {
      const reading = opening.result.transaction('batches').objectStore('batches').getAll()
      reading.onsuccess = () => {
        opening.result.close()
        resolve(reading.result.reduce((sum, { events }) => sum + events, 0))
      }
    }
  })`)
}
