/** How long a start takes, from the spawn until /health/ready answers 200. */
import type { Question } from './question.ts'
import { Collected } from './support/bouts.ts'
import { MILLRACE_DELIVERING } from './support/contenders.ts'
import { progress } from './support/progress.ts'
import { inDirectory, startServer } from './support/server.ts'

const STARTS = 20
const READY = '/health/ready'

export const start: Question = {
  name: 'start',
  title: 'Start to ready',
  how: `From the spawn of the process until \`GET ${READY}\` answers 200, asked every 5 ms; ${STARTS} starts, into an empty directory and into the one that the start before has left. The
first start of each is not counted: it fills the cache of the file system.`,
  targets: [{ key: 'start', measure: 'startMs', of: 'empty directory', bound: { atMost: 500 } }],
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
    return { series: collected.series }
  },
}

async function startIn(directory: string): Promise<number> {
  const server = await startServer(MILLRACE_DELIVERING, directory, READY)
  await server.stop()
  return server.readyAfterMs
}
