/**
 * How long a start takes, from the spawn until /health/ready answers 200; and how much memory a service has that does
 * nothing.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Question } from './question.ts'
import { Collected } from './support/bouts.ts'
import { MILLRACE_DELIVERING } from './support/contenders.ts'
import { progress } from './support/progress.ts'
import { inDirectory, startServer } from './support/server.ts'

const STARTS = 20
const READY = '/health/ready'
const RESTS = 5
/** After the start: what it has left is collected, what is loaded late is there. */
const REST_MS = 3000

export const start: Question = {
  name: 'start',
  title: 'Start to ready',
  how: `From the spawn of the process until \`GET ${READY}\` answers 200, asked every 5 ms. There are ${STARTS} starts
in an empty directory, and as many in the directory of the start before. The first start of each is not counted: it fills
the cache of the file system. “At rest” is ${REST_MS / 1000} s after a start and one event.`,
  targets: [
    { key: 'start', measure: 'startMs', of: 'empty directory', bound: { atMost: 500 } },
    { key: 'rest', measure: 'restRssMib', of: 'at rest', bound: { atMost: 100 } },
  ],
  plots: [],
  async run({ smoke }) {
    const starts = smoke ? 1 : STARTS
    const collected = new Collected()
    await inDirectory(async (used) => {
      for (let at = 0; at <= starts; at++) {
        progress(`start ${at} of ${starts}`)
        const empty = await inDirectory(startIn)
        const again = await startIn(used)
        if (at === 0 && !smoke) continue
        collected.add('empty directory', { startMs: empty })
        collected.add('used directory', { startMs: again })
      }
    })
    for (let rest = 0; rest < (smoke ? 1 : RESTS); rest++) {
      progress(`rest ${rest + 1} of ${RESTS}`)
      collected.add('at rest', { restRssMib: await inDirectory((directory) => restIn(directory, smoke ? 0 : REST_MS)) })
    }
    return { series: collected.series }
  },
}

/** @returns resident memory, MiB. */
async function restIn(directory: string, restMs: number): Promise<number> {
  const server = await startServer(MILLRACE_DELIVERING, directory)
  await sleep(restMs)
  const { rssMib } = server.cost()
  await server.stop()
  return rssMib
}

async function startIn(directory: string): Promise<number> {
  const server = await startServer(MILLRACE_DELIVERING, directory, READY)
  await server.stop()
  return server.readyAfterMs
}
