/**
 * Your handlers, sinks and routes. What operators set are environment variables: `npx millrace config` shows both. Errors in
 * here end a start with one line. The types say what each part can hold.
 */
import { setTimeout } from 'node:timers/promises'
import { defineConfig, type Handler } from 'millrace'

const WORK_MS = 200

/**
 * A sample, and the published case that Millrace follows: one task takes events from a channel of 100 and handles each
 * in 200 ms. Run it with `HANDLERS=sample CHANNEL_CAPACITY_EVENTS=100 npm start`; copy it to begin your own.
 */
const sample: Handler = async (event, { signal }) => {
  await setTimeout(WORK_MS, undefined, { signal })
  return { ...event, handledat: new Date().toISOString() }
}

export default defineConfig({
  /** By the name that `HANDLERS` and routes use. */
  handlers: { sample },

  /** Sinks of your own: docs/destinations/own.md. */
  sinks: {},

  /**
   * Which events → through which handlers → into which sink. Each has its own offsets, lag and dead letters, under its name.
   * Without routes: every event, through HANDLERS, into each of SINKS. With them, SINKS counts only where it is set.
   */
  // routes: [
  //   { name: 'orders', filter: ofType('order.*'), handlers: ['sample'], sink: 'file', options: { FILE_SINK_DIR: './orders' } },
  //   { name: 'large', filter: ({ data }) => Number(data) > 1000, sink: 'http', options: { HTTP_SINK_URL: 'https://…' } },
  // ],
})
