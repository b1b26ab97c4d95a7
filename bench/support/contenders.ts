/** Everything that takes POST /v1/events here: Millrace, as its users run it, and what it is compared with. */
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import packageJson from '../../package.json' with { type: 'json' }
import { PEERS, type Peer } from '../peers/peers.ts'

/** As `npm start` has them. */
const START_ENVIRONMENT: Environment = Object.fromEntries(
  packageJson.scripts.start.matchAll(/(\w+)=(\S+) /g).map(([, name, value]) => [name, value]),
)
/** What `npm start` runs: made by `npm run bench` before. */
export const CLI = fileURLToPath(new URL('../../build/app/cli.js', import.meta.url))

const VERSION = `Millrace ${packageJson.version}, Fastify ${packageJson.dependencies.fastify.replace(/^\D+/, '')}`
const DURABLE = 'the event was written and synced to the log, together with all that waited'

type Environment = Readonly<Record<string, string>>

/**
 * @param environment variables of the service beside those that keep it in its directory and on its port.
 * @param options of `millrace serve`.
 */
export function millrace(name: string, title: string, environment: Environment, options: readonly string[] = []): Peer {
  return {
    name,
    title,
    durability: DURABLE,
    durable: true,
    ndjson: true,
    version: () => VERSION,
    missing: () => undefined,
    command: (port, directory) => ({
      command: process.execPath,
      args: [CLI, 'serve', ...options],
      env: {
        ...START_ENVIRONMENT,
        PORT: String(port),
        ADMIN_PORT: '0',
        DATA_DIR: directory,
        FILE_SINK_DIR: join(directory, 'delivered'),
        SHUTDOWN_GRACE_MS: '0',
        SHUTDOWN_DRAIN_MS: '0',
        ...environment,
      },
    }),
  }
}

/**
 * What is compared with peers, which only store: the same work on both sides. The one place that says how delivery is
 * left out.
 */
export const STORE_ONLY = ['--config', fileURLToPath(new URL('./store-only.config.mjs', import.meta.url))]
export const MILLRACE = millrace('millrace', 'Millrace, storing', {}, STORE_ONLY)

const WORKERS = 2
/** The same on several threads: load generator and threads share the cores, so more than there are help nobody. */
export const MILLRACE_WORKERS = millrace(
  `millrace, ${WORKERS} workers`,
  `Millrace, storing, WORKERS=${WORKERS}`,
  { WORKERS: String(WORKERS) },
  STORE_ONLY,
)

/** `npm start` with nothing set: every event is delivered to files at once, beside taking the next ones in. */
export const MILLRACE_DELIVERING = millrace('millrace + file sink', 'Millrace, storing and delivering to files', {})

/** Delivery beside taking events in, on a core of its own if there is one. */
export const MILLRACE_DELIVERY_THREAD = millrace(
  'millrace + file sink, thread',
  'Millrace, storing and delivering to files, DELIVERY_THREAD=true',
  { DELIVERY_THREAD: 'true' },
)

const LINGER_MS = 10
/** The same with groups that wait for more. */
export const MILLRACE_LINGERING = millrace(
  `millrace + file sink, linger ${LINGER_MS} ms`,
  `Millrace, delivering to files, GROUP_LINGER_MS=${LINGER_MS}`,
  { GROUP_LINGER_MS: String(LINGER_MS) },
)

/** Millrace, both ways, and those peers that are `chosen`. */
export function withPeers(chosen: (peer: Peer) => boolean): Peer[] {
  return [MILLRACE, MILLRACE_DELIVERING, ...PEERS.filter(chosen)]
}
