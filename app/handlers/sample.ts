/**
 * A sample, and the published case that Millrace follows: one task takes events from a channel of 100 and handles each
 * in 200 ms. Run it with `HANDLERS=sample CHANNEL_CAPACITY_EVENTS=100 npm start`; copy it to begin your own.
 */
import { setTimeout } from 'node:timers/promises'
import type { Handler } from './handler.ts'

const WORK_MS = 200

export const sample: Handler = async (event, { signal }) => {
  await setTimeout(WORK_MS, undefined, { signal })
  return { ...event, handledat: new Date().toISOString() }
}
