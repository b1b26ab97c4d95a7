/**
 * What only a page has: it can go away at any moment, and a network comes back. Elsewhere nothing of it is there.
 *
 * A request of a page ends with the page, unless it says `keepalive`. The bodies of all such requests under way may
 * have 64 KiB together (https://fetch.spec.whatwg.org/#http-network-or-cache-fetch). `sendBeacon` has the same limit,
 * and cannot send a key or a content type that other origins allow: `fetch` does both.
 */

const KEEPALIVE_BYTES = 64 * 1024

/** One request under way and one more, for what is there when the page is left, fit together. */
export const MAX_PAGE_BATCH_BYTES = 30 * 1024

/** The part of `window` that is used here: no types of browsers where Node has to know them. */
interface PageGlobals {
  readonly document?: { readonly visibilityState: string }
  readonly location?: { readonly href: string }
  addEventListener?(type: string, listener: () => void): void
  removeEventListener?(type: string, listener: () => void): void
}

const page: PageGlobals = globalThis as object

export const isPage: boolean = page.document !== undefined && page.addEventListener !== undefined

/** What relative addresses are relative to. */
export const pageAddress: string | undefined = isPage ? page.location?.href : undefined

/** Bytes of the requests that outlive the page. */
export class KeepaliveBudget {
  #usedBytes = 0

  take(bytes: number): boolean {
    if (this.#usedBytes + bytes > KEEPALIVE_BYTES) return false
    this.#usedBytes += bytes
    return true
  }

  /** Whether `take` would have room. */
  fits(bytes: number): boolean {
    return this.#usedBytes + bytes <= KEEPALIVE_BYTES
  }

  giveBack(bytes: number): void {
    this.#usedBytes -= bytes
  }
}

interface PageEvents {
  /** It is hidden, and on a phone may be ended without another word; or it is left. */
  readonly onLeave: () => void
  readonly onOnline: () => void
}

/** @returns what ends it. */
export function watchPage({ onLeave, onOnline }: PageEvents): () => void {
  if (!isPage) return () => undefined
  const onVisibility = () => {
    if (page.document?.visibilityState === 'hidden') onLeave()
  }
  const listeners = { pagehide: onLeave, visibilitychange: onVisibility, online: onOnline }
  for (const [type, listener] of Object.entries(listeners)) page.addEventListener?.(type, listener)
  return () => {
    for (const [type, listener] of Object.entries(listeners)) page.removeEventListener?.(type, listener)
  }
}
