/**
 * What people would use instead of Millrace, each doing the same durable work as well as its own users would write it:
 * POST /v1/events on 127.0.0.1, one line an event appended to `events.ndjson`, synced before the answer.
 * README.md describes them; `npm run bench:peers` installs them.
 */
import { join } from 'node:path'
import { benthos, fastapi, flask, robyn, rust, type Unit } from './units.ts'

export interface Command {
  readonly command: string
  readonly args: readonly string[]
  /** Beside those of this process. */
  readonly env: Readonly<Record<string, string>>
}

export interface Peer {
  readonly name: string
  readonly title: string
  /** What its 202 means. */
  readonly durability: string
  /** Whether the event is on the disk before its 202. */
  readonly durable: boolean
  /** Whether it also takes application/x-ndjson: many events a body. */
  readonly ndjson: boolean
  /** What has to be installed for it. */
  readonly unit?: Unit
  /** Of what it is made of, as pinned. */
  version(): string
  /** Why it cannot be run here, and what to do about that; undefined when it can. */
  missing(): string | undefined
  /** Serves on `port` of 127.0.0.1 and writes to `directory`, until SIGTERM. */
  command(port: number, directory: string): Command
}

/** Not a peer: what `bench/channel.ts` measures, of Tokio's channel. A JSON object a line. */
export const tokioChannel = {
  version: () => rust.versions('Cargo.toml', /^(?<name>tokio) = .*?"(?<version>[\d.]+)"/gm),
  missing: () => rust.missing(),
  command: (items: number, capacity: number, rounds: number): Command => ({
    command: join(rust.target, 'release', 'tokio-channel'),
    args: [String(items), String(capacity), String(rounds)],
    env: {},
  }),
} as const

const EACH = 'the event was written and synced, by itself'
const GROUP = 'the event was written and synced, together with all that waited'

function inRust(name: string, title: string, durability: string, ndjson: boolean): Peer {
  return {
    name,
    title,
    durability,
    durable: true,
    ndjson,
    unit: rust,
    version: () => rust.versions('Cargo.toml', /^(?<name>axum|tokio|serde_json) = .*?"(?<version>[\d.]+)"/gm),
    missing: () => rust.missing(),
    command: (port, directory) => ({
      command: join(rust.target, 'release', name),
      args: [],
      env: environment(port, directory),
    }),
  }
}

interface InPython {
  readonly name: string
  readonly title: string
  readonly durability: string
  readonly unit: Unit
  /** The packages whose versions count. */
  readonly packages: readonly string[]
  /** A program of the environment, with its arguments. */
  run(port: number): readonly [program: string, ...args: string[]]
}

function inPython({ name, title, durability, unit, packages, run }: InPython): Peer {
  return {
    name,
    title,
    durability,
    durable: true,
    ndjson: false,
    unit,
    version: () =>
      unit.versions('requirements.txt', new RegExp(`^(?<name>${packages.join('|')})==(?<version>\\S+)`, 'gim')),
    missing: () => unit.missing(),
    command: (port, directory) => {
      const [program, ...args] = run(port)
      return {
        command: join(unit.target, 'venv', 'bin', program),
        args,
        env: { ...environment(port, directory), PYTHONDONTWRITEBYTECODE: '1' },
      }
    },
  }
}

function environment(port: number, directory: string): Record<string, string> {
  return { PORT: String(port), DATA_DIR: directory }
}

const uvicorn = (app: string, port: number): readonly [string, ...string[]] => [
  'uvicorn',
  `${app}:app`,
  ...['--app-dir', fastapi.source, '--host', '127.0.0.1', '--port', String(port)],
  ...['--loop', 'uvloop', '--http', 'httptools', '--no-access-log', '--log-level', 'warning'],
]

export const PEERS: readonly Peer[] = [
  inRust('rust-sample', 'Rust, one event at a time', EACH, false),
  inRust('rust-group', 'Rust, group commit', GROUP, true),
  {
    name: 'node-http',
    title: 'node:http, group commit',
    durability: GROUP,
    durable: true,
    ndjson: true,
    version: () => `Node ${process.version}`,
    missing: () => undefined,
    command: (port, directory) => ({
      command: process.execPath,
      args: [join(import.meta.dirname, 'node-http', 'server.ts')],
      env: environment(port, directory),
    }),
  },
  inPython({
    name: 'fastapi',
    title: 'FastAPI, uvicorn',
    durability: EACH,
    unit: fastapi,
    packages: ['fastapi', 'uvicorn', 'pydantic'],
    run: (port) => uvicorn('app', port),
  }),
  inPython({
    name: 'fastapi-group',
    title: 'FastAPI, uvicorn, group commit',
    durability: GROUP,
    unit: fastapi,
    packages: ['fastapi', 'uvicorn', 'pydantic'],
    run: (port) => uvicorn('group', port),
  }),
  inPython({
    name: 'flask',
    title: 'Flask, gunicorn',
    durability: EACH,
    unit: flask,
    packages: ['flask', 'gunicorn'],
    run: (port) => [
      'gunicorn',
      ...['--chdir', flask.source, '--bind', `127.0.0.1:${port}`, '--log-level', 'warning'],
      // Measured: more threads are no faster, the interpreter runs one of them at a time.
      ...['--worker-class', 'gthread', '--threads', '16', '--keep-alive', '75', 'app:app'],
    ],
  }),
  inPython({
    name: 'robyn',
    title: 'Robyn, one process',
    durability: EACH,
    unit: robyn,
    packages: ['robyn', 'orjson'],
    run: () => ['python', join(robyn.source, 'app.py'), '--workers', '16', '--log-level', 'WARNING'],
  }),
  {
    name: 'benthos',
    title: 'Benthos, the engine of Redpanda Connect',
    durability:
      'the event was handed to the operating system: it survives the end of the process, not that of the machine',
    durable: false,
    ndjson: false,
    unit: benthos,
    version: () => benthos.versions('go.mod', /^require (?<name>\S+) v(?<version>\S+)/gm),
    missing: () => benthos.missing(),
    command: (port, directory) => ({
      command: join(benthos.target, 'benthos'),
      args: ['run', join(benthos.source, 'pipeline.yaml')],
      env: environment(port, directory),
    }),
  },
]
