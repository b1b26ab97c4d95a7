/** Selects the events of a delivery. A filter is the user's own code: if it throws, only that event fails. */
import type { Item } from '../event/item.ts'
import type { Filter } from '../handlers/handler.ts'

export const KEPT_OUT = Symbol('kept out by the filter')

/**
 * @returns the error of the filter; {@link KEPT_OUT} when it excludes the event; undefined when it accepts the event.
 */
export function faultOf(filter: Filter | undefined, item: Item): string | typeof KEPT_OUT | undefined {
  if (filter === undefined) return undefined
  try {
    const isFor = filter.acceptsType === undefined ? filter(item.event) : filter.acceptsType(item.type)
    return isFor ? undefined : KEPT_OUT
  } catch (error) {
    return `the filter threw: ${error instanceof Error ? error.stack : String(error)}`
  }
}
