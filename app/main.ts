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
 * About 16 MB of objects are long-lived. The memory of a request is mostly its body, outside of the heap. It is freed
 * when the young generation is collected (docs/decisions/0006-memory.md):
 *
 * - `semi-space-growth-factor`: the young generation keeps its initial size. By default it grows, is collected less
 *   often, and holds more dead bodies, which cause full collections.
 * - `heap-growing-percent`: by default, V8 lets the heap grow to four times the used size before a full collection.
 * - `no-allocation-site-pretenuring`: if objects survive a few collections while the service warms up, V8 allocates
 *   later ones in the old generation, permanently. There, requests keep one another alive until a full collection, and
 *   five of these follow each second. In one start of six, that cost a third of the throughput
 *   (docs/decisions/0020-hot-path.md).
 */
const MEMORY_FLAGS = ['--semi-space-growth-factor=1', '--heap-growing-percent=150', '--no-allocation-site-pretenuring']

export function setMemoryFlags(): void {
  for (const flag of MEMORY_FLAGS) setFlagsFromString(flag)
}

/** Time limit for the other steps of `close`, in addition to the grace and the drain, which have their own limits. */
export const CLOSE_MARGIN_MS = 10_000

/**
 * Runs the service until a signal ends it.
 * Exit codes: 0 stopped with all work finished; 1 a failure, or work in progress was not finished; 2 invalid
 * configuration, data directory or port, with one line that says what to do.
 * @param options.configFile the config file. Default: it is searched for, see config-file/load.ts.
 */
export async function serve(
  environment: NodeJS.ProcessEnv,
  { configFile }: { readonly configFile?: string | undefined } = {},
): Promise<void> {
  setMemoryFlags()
  // Without an error listener, the process would end when the reader of its output goes away.
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
      logger.info(`${stopSignal ?? signal ?? 'failure'}: accepting no more events, finishing work in progress`)
      // If the start fails, it reports the reason and ends the process.
      const app = err ? await settledNow(starting) : await starting
      if (app === undefined) process.exit(err ? 1 : 0)
      // After Ctrl-C or a closed terminal there is no load balancer to wait for.
      const graceMs = (stopSignal ?? signal) === 'SIGTERM' ? config.SHUTDOWN_GRACE_MS : 0
      // A failed log cannot record deliveries, so the next start would repeat them: do not drain.
      const finished = await app.close(graceMs, failed && 0)
      if (!finished) logger.error('stopped with unfinished work: the next start tries it again')
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
      if (running?.reload() === false) logger.info('SIGHUP: certificate and keys are unchanged')
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

/** Reads and checks both parts of the configuration: the operator's variables and the developer's config file. */
async function configure(environment: NodeJS.ProcessEnv, named: string | undefined) {
  const config = loadConfig(environment)
  const file = await loadConfigFile({ named })
  return { config, file, output: ownOutput(config, file) }
}

/** The value of a promise if it is already resolved, without waiting for it. */
async function settledNow<T>(promise: Promise<T> | undefined): Promise<T | undefined> {
  const unsettled = new Promise<undefined>((resolve) => setImmediate(() => resolve(undefined)))
  return Promise.race([promise?.catch(() => undefined), unsettled])
}

/** An error that the operator can fix gets one line and exit code 2. Any other error is a bug and keeps its stack. */
function refuseToStart(error: unknown): never {
  console.error(error instanceof MillraceError ? `millrace: ${printable(error.message)}` : error)
  process.exit(error instanceof MillraceError ? 2 : 1)
}
