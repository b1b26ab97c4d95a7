/** Starts a tracking process; it ends with the test. */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { onTestFinished } from 'vitest'
import type { Plan, Report } from './tracking-process.ts'

const PROCESS = fileURLToPath(new URL('./tracking-process.ts', import.meta.url))

export interface Tracking {
  report(): Promise<Report>
  close(): Promise<Report>
  kill(): Promise<void>
}

export function startTracking(plan: Plan): Tracking {
  const child = fork(PROCESS, [JSON.stringify(plan)])
  onTestFinished(() => void child.kill('SIGKILL'))
  const ask = async (message: 'report' | 'close'): Promise<Report> => {
    child.send(message)
    const [report] = await once(child, 'message')
    return report
  }
  return {
    report: () => ask('report'),
    close: () => ask('close'),
    kill: async () => {
      const exited = once(child, 'exit')
      child.kill('SIGKILL')
      await exited
    },
  }
}
