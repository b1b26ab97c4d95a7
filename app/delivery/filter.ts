/** Which events a delivery is for. A filter is the user's own: it may throw, and that costs its event only. */
import type { Item } from '../event/item.ts'
import type { Filter } from '../handlers/handler.ts'

export const KEPT_OUT = Symbol('kept out by the filter')

/** @returns why the filter cannot say whether the event is for this delivery; {@link KEPT_OUT} when it is not; else undefined. */
export function faultOf(filter: Filter | undefined, item: Item): string | typeof KEPT_OUT | undefined {
  if (filter === undefined) return undefined
  try {
    const isFor = filter.acceptsType === undefined ? filter(item.event) : filter.acceptsType(item.type)
    return isFor ? undefined : KEPT_OUT
  } catch (error) {
    return `the filter threw: ${error instanceof Error ? error.stack : String(error)}`
  }
}
