/** Which events a delivery is for. A filter is the user's own: it may throw, and that costs its event only. */
import type { Event } from '../event.ts'
import type { Filter } from '../handlers/handler.ts'

export const KEPT_OUT = Symbol('kept out by the filter')

/** @returns why the filter cannot say whether the event is for this delivery; {@link KEPT_OUT} when it is not; else undefined. */
export function faultOf(filter: Filter | undefined, event: Event): string | typeof KEPT_OUT | undefined {
  try {
    return filter === undefined || filter(event) ? undefined : KEPT_OUT
  } catch (error) {
    return `the filter threw: ${error instanceof Error ? error.stack : String(error)}`
  }
}
