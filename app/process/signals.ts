/**
 * The signals that stop a service:
 *
 *     SIGTERM, SIGINT   stop. A second signal after more than a second: stop at once. Within that second it counts as
 *                       the same signal: Ctrl-C arrives twice, from the terminal and from npm, which forwards it
 *     SIGHUP            the terminal has closed: stop, if there is a terminal. Without one (nohup, a process manager),
 *                       go on, and read certificate and keys again. Whether the parent ignored the signal is unknown:
 *                       Node resets that before our code runs
 */
import { isatty } from 'node:tty'

/** All signals that {@link onStopSignal} handles. */
export const STOP_SIGNALS = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const
export type StopSignal = (typeof STOP_SIGNALS)[number]

const SAME_SIGNAL_MS = 1000

export interface StopListeners {
  /** Called once. */
  readonly onStop: (signal: StopSignal) => void
  /** Called for a second signal: stop at once. */
  readonly onAgain: (signal: StopSignal) => void
  /** Called for SIGHUP without a terminal. */
  readonly onReload?: () => void
}

/** @returns a function that removes the listeners. */
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
