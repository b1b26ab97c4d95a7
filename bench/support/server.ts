/** A server as a process of its own, with its children, on a port and in a directory of its own. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Peer } from '../peers/peers.ts'
import { costOf, type ProcessCost } from './process-cost.ts'

export interface Server {
  readonly url: string
  /** From the spawn until it had answered first. */
  readonly readyAfterMs: number
  /** So far, the whole process tree. */
  cost(): ProcessCost
  stop(): Promise<void>
}

const READY_WITHIN_MS = 30_000
const READY_POLL_MS = 5
const STOP_WITHIN_MS = 5000
const FIRST_EVENT = { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{"id":1,"data":"first"}' }

/**
 * Directory for the data of servers, on the same disk as the project. The system's directory for temporary files is in
 * memory on many machines, where a sync costs nothing.
 */
export const DATA_DIRECTORY = process.env.MILLRACE_BENCH_DIR ?? join(import.meta.dirname, '../../data/bench')

export function makeDirectory(): string {
  mkdirSync(DATA_DIRECTORY, { recursive: true })
  return mkdtempSync(join(DATA_DIRECTORY, 'run-'))
}

export function removeDirectory(directory: string): void {
  rmSync(directory, { recursive: true, force: true, maxRetries: 3 })
}

/** What is left to do when the harness itself ends early. */
const cleanUps = new Set<() => void>()

/** @returns what takes it back, once it was done otherwise. */
function atExit(cleanUp: () => void): () => void {
  watchExit()
  cleanUps.add(cleanUp)
  return () => cleanUps.delete(cleanUp)
}

let watched = false
function watchExit(): void {
  if (watched) return
  watched = true
  process.on('exit', () => {
    for (const cleanUp of cleanUps) cleanUp()
  })
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(1))
}

/** Runs `use` in a new directory, which is gone afterwards. */
export async function inDirectory<T>(use: (directory: string) => Promise<T>): Promise<T> {
  const directory = makeDirectory()
  const remove = () => removeDirectory(directory)
  const removed = atExit(remove)
  try {
    return await use(directory)
  } finally {
    remove()
    removed()
  }
}

/** @param readyPath asked with GET until it answers 200. Default: an event is sent until it answers 202. */
export async function startServer(peer: Peer, directory: string, readyPath?: string): Promise<Server> {
  const port = await freePort()
  const { command, args, env } = peer.command(port, directory)
  const startedAt = performance.now()
  const child = spawn(command, args, {
    env: { PATH: process.env.PATH, ...env },
    stdio: ['ignore', 'ignore', 'pipe'],
    detached: true, // a process group, so that its children end with it
  })
  const exited = once(child, 'exit')
  const { pid } = child
  if (pid === undefined) throw new Error(`${peer.name} cannot be started: ${command}`)
  const kill = () => killGroup(pid)
  const ended = atExit(kill)
  let complaints = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    complaints = (complaints + text).slice(-2000)
  })
  const url = `http://127.0.0.1:${port}`
  while (!(await answers(url, readyPath))) {
    if (child.exitCode !== null) throw new Error(`${peer.name} ended with ${child.exitCode}: ${complaints}`)
    if (performance.now() - startedAt > READY_WITHIN_MS) {
      kill()
      throw new Error(`${peer.name} was not ready in time: ${complaints}`)
    }
    await sleep(READY_POLL_MS)
  }
  return {
    url,
    readyAfterMs: performance.now() - startedAt,
    cost: () => costOf(pid),
    stop: async () => {
      child.kill('SIGTERM')
      await Promise.race([exited, sleep(STOP_WITHIN_MS)])
      kill()
      await exited
      ended()
    },
  }
}

async function answers(url: string, readyPath: string | undefined): Promise<boolean> {
  try {
    const response = await (readyPath === undefined ? fetch(`${url}/v1/events`, FIRST_EVENT) : fetch(url + readyPath))
    await response.text()
    return response.status === (readyPath === undefined ? 202 : 200)
  } catch {
    return false
  }
}

function killGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL')
  } catch {} // all of it has ended
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  return typeof address === 'object' && address !== null ? address.port : 0
}
