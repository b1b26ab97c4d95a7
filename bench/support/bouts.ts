/** Servers that take turns under the same load, each time as a new process in an empty directory. */
import type { Measure } from '../measures.ts'
import type { Peer } from '../peers/peers.ts'
import type { Context, Measured, Series } from '../question.ts'
import { loadFor, type Payload } from './load.ts'
import { progress } from './progress.ts'
import { inDirectory, type Server, startServer } from './server.ts'
import { interleave } from './statistics.ts'

export type Figures = Readonly<Partial<Record<Measure, number>>>

/** Figures of each round → a series for each measure, in the order of the subjects. */
export class Collected {
  readonly #series = new Map<string, { subject: string; measure: Measure; rounds: number[] }>()

  add(subject: string, figures: Figures): void {
    for (const [measure, value] of Object.entries(figures) as [Measure, number][]) {
      const key = `${subject}\0${measure}`
      const series = this.#series.get(key) ?? { subject, measure, rounds: [] }
      this.#series.set(key, series)
      if (Number.isFinite(value)) series.rounds.push(value)
    }
  }

  get series(): Series[] {
    return [...this.#series.values()].filter(({ rounds }) => rounds.length > 0)
  }
}

const WARM_UP_SECONDS = 1
const WARM_UP_CONNECTIONS = 64
const FEW = 3

/** Full load for a moment: what is compiled while it runs is compiled, buffers have their size. */
export async function warmUp({ smoke }: Context, { url }: Server, payload: Payload): Promise<void> {
  if (!smoke) await loadFor(url, payload, WARM_UP_CONNECTIONS, WARM_UP_SECONDS)
}

/** A smoke run has no time for all of them in every question. */
export function fewIfSmoke({ smoke }: Context, peers: readonly Peer[]): readonly Peer[] {
  return smoke ? peers.filter((peer) => peer.missing() === undefined).slice(0, FEW) : peers
}

/** @param load what is done to a server that is ready, and what is measured meanwhile. */
export async function bouts(
  { rounds }: Context,
  peers: readonly Peer[],
  load: (server: Server, peer: Peer) => Promise<Figures>,
): Promise<Measured> {
  const here = peers.filter((peer) => peer.missing() === undefined)
  const collected = new Collected()
  for (const { round, item: peer } of interleave(here, rounds)) {
    progress(`round ${round + 1} of ${rounds}: ${peer.name}`)
    await inDirectory(async (directory) => {
      const server = await startServer(peer, directory)
      try {
        collected.add(subjectOf(peer), await load(server, peer))
      } catch (error) {
        throw new Error(`${peer.name}: ${error instanceof Error ? error.message : error}`, { cause: error })
      } finally {
        await server.stop()
      }
    })
  }
  return {
    // Each round is begun by another one: the page shows them in the order they are given.
    series: here.flatMap((peer) => collected.series.filter(({ subject }) => subject === subjectOf(peer))),
    skipped: peers.flatMap((peer) => {
      const reason = peer.missing()
      return reason === undefined ? [] : [{ subject: peer.name, reason }]
    }),
    contenders: here.map(({ name, title, version, durability }) => ({ name, title, version: version(), durability })),
  }
}

/** What does less has it said wherever it stands beside the others. */
function subjectOf({ name, durable }: Peer): string {
  return durable ? name : `${name}, not synced`
}

const MICROSECONDS = 1e6

/** What `run` costs the server beside its result: CPU time of an event, the highest memory so far. */
export async function withCost(
  server: Server,
  events: (result: Figures) => number,
  run: () => Promise<Figures>,
): Promise<Figures> {
  const before = server.cost().cpuSeconds
  const result = await run()
  const { cpuSeconds, peakRssMib } = server.cost()
  return { ...result, cpuUsPerEvent: ((cpuSeconds - before) * MICROSECONDS) / events(result), peakRssMib }
}
