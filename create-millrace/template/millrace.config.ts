/** Your handlers, sinks and routes. What operators set are environment variables: `npx millrace config` shows both. */
import { defineConfig, ofType } from 'millrace'
import { ConsoleSink } from './console-sink.ts'

export default defineConfig({
  /** By the name that routes use: an event in; an event, several, or nothing out. */
  handlers: {
    mark: (event) => ({ ...event, handledat: new Date().toISOString() }),
  },

  /** Sinks of your own. Those of Millrace are `file`, `stdout`, `http`, `postgres` and `s3`. */
  sinks: {
    console: () => new ConsoleSink(),
  },

  /** Which events → through which handlers → into which sink. */
  routes: [
    { name: 'all', handlers: ['mark'], sink: 'file', options: { FILE_SINK_DIR: './data/delivered' } },
    { name: 'orders', filter: ofType('order.*'), handlers: ['mark'], sink: 'console' },
  ],
})
