/** What is sent, the same to everyone. */
import { JSON_TYPE, NDJSON_TYPE, type Payload } from './load.ts'

const REQUEST_EVENTS = 100
const CLOUD_EVENT_BYTES = 273

export const SMALL_EVENT: Payload = { body: '{"id":1,"data":"Event 1"}', contentType: JSON_TYPE, events: 1 }

export function ndjson(lines: readonly string[]): Payload {
  return { body: `${lines.join('\n')}\n`, contentType: NDJSON_TYPE, events: lines.length }
}

const places = Array.from({ length: REQUEST_EVENTS }, (_, at) => at)
export const SMALL_LINES: readonly string[] = places.map((at) => `{"id":${at},"data":"Event ${at}"}`)
export const CLOUD_EVENT_LINES: readonly string[] = places.map(cloudEvent)
export const SMALL_EVENTS = ndjson(SMALL_LINES)
export const CLOUD_EVENTS = ndjson(CLOUD_EVENT_LINES)

/** Complete, with an order as data and a note that makes it as long as the others. */
function cloudEvent(at: number): string {
  const id = 10_000_000 + at
  const head = `{"specversion":"1.0","id":"${id}","source":"/shop/orders","type":"order.created","subject":"customer-${1000 + at}","time":"2026-01-31T12:00:00Z","data":{"order":${id},"total":19.95,"currency":"EUR","note":"`
  return `${head}${'.'.repeat(CLOUD_EVENT_BYTES - head.length - 3)}"}}`
}
