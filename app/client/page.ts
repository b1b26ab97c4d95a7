/**
 * Events of a web page: the page can end at any moment, and the network can come back. Outside of a page, this module
 * does nothing.
 *
 * A request ends with its page, unless it has `keepalive`. All such requests in progress may have bodies of 64 KiB
 * together (https://fetch.spec.whatwg.org/#http-network-or-cache-fetch). `sendBeacon` has the same limit, and cannot
 * send a key or a content type that other origins allow. `fetch` can do both.
 */

const KEEPALIVE_BYTES = 64 * 1024

/** Small enough that two requests fit: one in progress, and one with the rest when the user leaves the page. */
export const MAX_PAGE_BATCH_BYTES = 30 * 1024

/** The part of `window` that is used here, so that Node needs no browser types. */
interface PageGlobals {
  readonly document?: { readonly visibilityState: string }
  readonly location?: { readonly href: string }
  addEventListener?(type: string, listener: () => void): void
  removeEventListener?(type: string, listener: () => void): void
}

const page: PageGlobals = globalThis as object

export const isPage: boolean = page.document !== undefined && page.addEventListener !== undefined

/** Base of relative addresses. */
export const pageAddress: string | undefined = isPage ? page.location?.href : undefined

/** Counts the bytes of the requests that outlive the page. */
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
  /** Called when the user leaves the page, or it becomes hidden: a phone may then end it without further notice. */
  readonly onLeave: () => void
  readonly onOnline: () => void
}

/** @returns a function that stops watching. */
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
