/**
 * The signals that stop a service, as they really come:
 *
 *     SIGTERM, SIGINT   stop; again after a second: at once. Within that second it is the same one: npm hands on to its script what the
 *                       terminal has sent to both, so Ctrl-C arrives twice
 *     SIGHUP            a terminal went away: stop, if there is one. Without one (nohup, a process manager) the service
 *                       goes on, and reads its certificate and keys again. Whether the signal was ignored by the process
 *                       that started it cannot be asked: Node sets that back before anything of ours runs
 */
import { isatty } from 'node:tty'

/** All that {@link onStopSignal} takes care of. */
export const STOP_SIGNALS = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const
export type StopSignal = (typeof STOP_SIGNALS)[number]

const SAME_SIGNAL_MS = 1000

export interface StopListeners {
  /** Called once. */
  readonly onStop: (signal: StopSignal) => void
  /** The one who asked does not want to wait. */
  readonly onAgain: (signal: StopSignal) => void
  /** A SIGHUP without a terminal. */
  readonly onReload?: () => void
}

/** @returns what takes the listeners away. */
export function onStopSignal({ onStop, onAgain, onReload }: StopListeners): () => void {
  const hasTerminal = [0, 1, 2].some((fd) => isatty(fd))
  let firstAt: number | undefined
  const listener = (signal: NodeJS.Signals) => {
    const stopSignal = signal as StopSignal
    if (signal === 'SIGHUP' && !hasTerminal) return onReload?.()
    if (firstAt === undefined) {
      firstAt = performance.now()
      return onStop(stopSignal)
    }
    if (performance.now() - firstAt > SAME_SIGNAL_MS) onAgain(stopSignal)
  }
  for (const signal of STOP_SIGNALS) process.on(signal, listener)
  return () => {
    for (const signal of STOP_SIGNALS) process.off(signal, listener)
  }
}
