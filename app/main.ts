/** The process: configuration → app → listen; signals → close → exit code. */
import { setFlagsFromString } from 'node:v8'
import closeWithGrace from 'close-with-grace'
import packageJson from '../package.json' with { type: 'json' }
import { type App, ownOutput, startApp } from './app.ts'
import { loadConfig, nearMisses } from './config.ts'
import { loadConfigFile } from './config-file/load.ts'
import { MillraceError } from './errors.ts'
import { createLogger } from './observability/logger.ts'
import { startTracing } from './observability/tracing.ts'
import { printable } from './process/printable.ts'
import { onStopSignal, STOP_SIGNALS, type StopSignal } from './process/signals.ts'

/**
 * Some 16 MB of objects stay. What a request costs is mostly its body, outside of the heap, and given back when the young
 * generation is collected (docs/decisions/0006-memory.md):
 *
 * - `semi-space-growth-factor`: the young generation stays as the start has made it. Left alone it grows, is collected less
 *   often, and holds more dead bodies; these make V8 collect everything instead.
 * - `heap-growing-percent`: V8 would let the heap grow to four times what is in use before it collects all of it.
 * - `no-allocation-site-pretenuring`: where objects outlive a few collections while the service warms up, V8 makes the next
 *   ones in the old generation, for good. There requests keep one another alive until a full collection, five of which a
 *   second follow: in one start of six, a third of the throughput (docs/decisions/0020-hot-path.md).
 */
const MEMORY_FLAGS = ['--semi-space-growth-factor=1', '--heap-growing-percent=150', '--no-allocation-site-pretenuring']

export function setMemoryFlags(): void {
  for (const flag of MEMORY_FLAGS) setFlagsFromString(flag)
}

/** Room for what close does beside the grace and the drain, which have limits of their own. */
export const CLOSE_MARGIN_MS = 10_000

/**
 * Runs the service until a signal ends it.
 * Exit codes: 0 stopped and nothing left behind; 1 a failure, or something begun was not finished; 2 invalid
 * configuration, data directory or port, with one line that says what to do.
 * @param options.configFile the config file. Default: it is looked for, see config-file/load.ts.
 */
export async function serve(
  environment: NodeJS.ProcessEnv,
  { configFile }: { readonly configFile?: string | undefined } = {},
): Promise<void> {
  setMemoryFlags()
  // Without a listener, a reader of the output that went away would end the process.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined)
  const { config, file, output } = await configure(environment, configFile).catch(refuseToStart)
  const logger = await createLogger(config.LOG_LEVEL, output)
  for (const warning of nearMisses(environment)) logger.warn(warning)
  let failed: Error | undefined
  let stopSignal: StopSignal | undefined
  let isStopping = false
  let starting: Promise<App> | undefined
  let running: App | undefined

  const { close } = closeWithGrace(
    {
      delay: config.SHUTDOWN_GRACE_MS + config.SHUTDOWN_DRAIN_MS + CLOSE_MARGIN_MS,
      logger,
      skip: [...STOP_SIGNALS],
    },
    async ({ err, signal }) => {
      isStopping = true
      if (err) logger.fatal({ err }, 'unexpected error: stopping')
      logger.info(`${stopSignal ?? signal ?? 'failure'}: taking no more events, finishing what is begun`)
      // One that fails to start says why, and ends the process.
      const app = err ? await settledNow(starting) : await starting
      if (app === undefined) process.exit(err ? 1 : 0)
      // Ctrl-C, and a terminal that was closed, have no load balancer to wait for.
      const graceMs = (stopSignal ?? signal) === 'SIGTERM' ? config.SHUTDOWN_GRACE_MS : 0
      // A log that failed cannot record what is delivered: the next start would deliver it again.
      const finished = await app.close(graceMs, failed && 0)
      if (!finished) logger.error('stopped with work begun and not finished: it is tried again at the next start')
      const exitCode = finished && !failed && !err ? 0 : 1
      logger.info(`stopped, exit code ${exitCode}`)
      process.exit(exitCode)
    },
  )
  onStopSignal({
    onStop: (signal) => {
      stopSignal = signal
      close()
    },
    onAgain: (signal) => {
      logger.error(`second ${signal}: stopping at once, exit code 1`)
      process.exit(1)
    },
    onReload: () => {
      logger.info('SIGHUP: there is no terminal, so the service goes on; SIGTERM stops it')
      if (running?.reload() === false) logger.info('SIGHUP: certificate and keys are what they were')
    },
  })

  try {
    const onFailure = (error: Error) => {
      failed = error
      logger.fatal({ err: error }, 'stopping, so that a restart can recover')
      close()
    }
    const tracing = await startTracing(environment, packageJson.version)
    starting = startApp(config, logger, onFailure, { tracing, file, environment })
    const app = await starting
    if (isStopping) return
    running = app
    const does = app.url === undefined ? 'delivering' : `send events to ${app.url}/v1/events · docs ${app.url}/docs`
    logger.info(`ready: ${does} · live page ${app.adminUrl} · metrics ${app.adminUrl}/metrics`)
  } catch (error) {
    refuseToStart(error)
  }
}

/** Both halves of the configuration, checked: variables of operators, and the file of developers. */
async function configure(environment: NodeJS.ProcessEnv, named: string | undefined) {
  const config = loadConfig(environment)
  const file = await loadConfigFile({ named })
  return { config, file, output: ownOutput(config, file) }
}

/** What it has become by now, without waiting for it. */
async function settledNow<T>(promise: Promise<T> | undefined): Promise<T | undefined> {
  const unsettled = new Promise<undefined>((resolve) => setImmediate(() => resolve(undefined)))
  return Promise.race([promise?.catch(() => undefined), unsettled])
}

/** What the operator can fix gets one line and exit code 2; anything else is a bug and keeps its stack. */
function refuseToStart(error: unknown): never {
  console.error(error instanceof MillraceError ? `millrace: ${printable(error.message)}` : error)
  process.exit(error instanceof MillraceError ? 2 : 1)
}
