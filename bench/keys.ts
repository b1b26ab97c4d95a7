/**
 * What it costs to know who sends: single durable events without a key, with one, and with one on an older build, when
 * `MILLRACE_BENCH_BEFORE` names its directory (`node scripts/build.ts` there first). All of them run at once and are
 * loaded in turn, so that a machine whose speed drifts drifts for all. Two processes of one program differ by some per
 * cent, so several sets of processes are measured, and the ratios are those within a set.
 */
import { join } from 'node:path'
import type { Peer } from './peers/peers.ts'
import type { Question } from './question.ts'
import { Collected } from './support/bouts.ts'
import { millrace, STORE_ONLY } from './support/contenders.ts'
import { openConnections, type Payload, send } from './support/load.ts'
import { SMALL_EVENT } from './support/payloads.ts'
import { type Case, takeTurns } from './support/rounds.ts'
import { makeDirectory, removeDirectory, startServer } from './support/server.ts'
import { median } from './support/statistics.ts'

const CONNECTIONS = 64
const SETS = 9
const ROUNDS = 3
const REQUESTS = 20_000
const SMOKE_REQUESTS = 1000
const KEY = 'a-key-that-only-a-benchmark-has'

const NO_KEY = 'no key'
const WITH_KEY = 'a key'
const BEFORE = 'a key, before'

const keyed = { API_KEYS: `bench:${KEY}` }
const withKey: Payload = { ...SMALL_EVENT, authorization: `Bearer ${KEY}` }

/** The same command with the build of another directory. */
function builtIn(directory: string, peer: Peer): Peer {
  return {
    ...peer,
    command: (port, data) => {
      const {
        args: [, ...rest],
        ...command
      } = peer.command(port, data)
      return { ...command, args: [join(directory, 'build/app/cli.js'), ...rest] }
    },
  }
}

function contenders(before: string | undefined): Peer[] {
  const key = millrace(WITH_KEY, 'Millrace with an API key', keyed, STORE_ONLY)
  const none = millrace(NO_KEY, 'Millrace without API keys', {}, STORE_ONLY)
  const older = millrace(BEFORE, 'An older Millrace with an API key', keyed, STORE_ONLY)
  return [none, key, ...(before === undefined ? [] : [builtIn(before, older)])]
}

interface Rig {
  readonly name: string
  readonly run: Case
  /** CPU microseconds of the service for each request: the first round compiles. */
  cpuPerRequest(): number
  stop(): Promise<void>
}

async function startRig(peer: Peer): Promise<Rig> {
  const directory = makeDirectory()
  const server = await startServer(peer, directory, '/health/ready')
  const connections = openConnections(server.url, CONNECTIONS)
  const payload = peer.name === NO_KEY ? SMALL_EVENT : withKey
  const costs: number[] = []
  return {
    name: peer.name,
    run: async (requests) => {
      const before = server.cost().cpuSeconds
      await send(connections, payload, requests)
      costs.push(((server.cost().cpuSeconds - before) * 1e6) / requests)
      return requests
    },
    cpuPerRequest: () => median(costs.slice(1)),
    stop: async () => {
      for (const connection of connections) connection.close()
      await server.stop()
      removeDirectory(directory)
    },
  }
}

async function measureSet(peers: readonly Peer[], smoke: boolean, collected: Collected): Promise<void> {
  const rigs: Rig[] = []
  try {
    for (const peer of peers) rigs.push(await startRig(peer))
    const cases = Object.fromEntries(rigs.map(({ name, run }) => [name, run]))
    const rates = await takeTurns(cases, smoke ? 1 : ROUNDS, smoke ? SMOKE_REQUESTS : REQUESTS)
    for (const { name, cpuPerRequest } of rigs) {
      const requestsPerSecond = median(rates.get(name) ?? [])
      collected.add(name, { requestsPerSecond, cpuUsPerRequest: cpuPerRequest() })
    }
  } finally {
    for (const rig of rigs) await rig.stop()
  }
}

export const keysBench: Question = {
  name: 'keys',
  title: 'What an API key costs',
  how: `Small durable requests over ${CONNECTIONS} connections: without keys, with an API key, and with one on an older build
(MILLRACE_BENCH_BEFORE); all at once, loaded in turn, ${SETS} sets of processes.`,
  targets: [
    { key: 'keys-before', measure: 'requestsPerSecond', of: WITH_KEY, to: BEFORE, bound: { atLeast: 0.98 } },
    { key: 'keys-before-cpu', measure: 'cpuUsPerRequest', of: WITH_KEY, to: BEFORE, bound: { atMost: 1.02 } },
  ],
  plots: [],
  async run({ smoke }) {
    const before = process.env.MILLRACE_BENCH_BEFORE
    const peers = contenders(before)
    const collected = new Collected()
    for (let set = 0; set < (smoke ? 1 : SETS); set++) {
      const first = set % peers.length
      await measureSet([...peers.slice(first), ...peers.slice(0, first)], smoke, collected)
    }
    const reason = 'set MILLRACE_BENCH_BEFORE to a clone of the older version, built with node scripts/build.ts'
    return { series: collected.series, ...(before === undefined && { skipped: [{ subject: BEFORE, reason }] }) }
  },
}
