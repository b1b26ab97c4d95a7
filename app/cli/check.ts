/**
 * `millrace config --check`: checks everything that can end a start, with the functions that a start uses, in the same
 * order. It creates, writes and locks nothing, so it may run beside the service that has this configuration.
 */
import { createServer } from 'node:net'
import { join } from 'node:path'
import { type Config, loadConfig, nearMisses } from '../config.ts'
import { type ConfigFile, loadConfigFile, NO_CONFIG_FILE } from '../config-file/load.ts'
import { backoffMs } from '../delivery/backoff.ts'
import { type CheckedRoute, checkRoutes } from '../delivery/route.ts'
import { MillraceError, systemCode } from '../errors.ts'
import { pickFrom } from '../handlers/pick.ts'
import { hookFiles } from '../hooks/secrets.ts'
import { readCredentials } from '../http/credentials.ts'
import { ConsumerStore } from '../log/embedded/consumer-store.ts'
import { findIdentity, lockHolder, unusable } from '../log/embedded/directory.ts'
import { nodeFiles } from '../log/embedded/files.ts'
import { SpaceReserve } from '../log/embedded/reserve.ts'
import { openDeadLetters, openLog } from '../log/open.ts'
import { requireKnownCounts } from '../observability/metrics.ts'
import { checkDirectories } from '../process/directories.ts'
import { listen } from '../process/listen.ts'
import { printable } from '../process/printable.ts'
import { openSink } from '../sinks/open.ts'
import { localUrl } from './address.ts'
import { note, print } from './output.ts'

const STATUS_WITHIN_MS = 2000

/**
 * Prints the error of a start, or its warnings and notes.
 * @param configFile the value of `--config`.
 * @returns whether a service would start.
 */
export async function checkConfiguration(environment: NodeJS.ProcessEnv, configFile?: string): Promise<boolean> {
  const onNote = (message: string) => note(`millrace: ${printable(message)}`)
  try {
    const config = loadConfig(environment)
    const file = await loadConfigFile({ named: configFile })
    for (const warning of nearMisses(environment)) onNote(warning)
    await checkStart(config, file, environment, onNote)
  } catch (error) {
    if (!(error instanceof MillraceError)) throw error
    note(`millrace: ${printable(error.message)}`)
    return false
  }
  await print('a service would start with this configuration')
  return true
}

/** @throws MillraceError the error of a start. */
async function checkStart(
  config: Config,
  file: ConfigFile,
  environment: NodeJS.ProcessEnv,
  onNote: (message: string) => void,
): Promise<void> {
  const routes = config.ROLE === 'ingest' ? [] : checkRoutes(config, file, pickFrom(file))
  await checkDirectories(config, routes)
  readCredentials(config, onNote, hookFiles(config.ROLE === 'deliver' ? NO_CONFIG_FILE : file, environment))
  const holder = await checkLogs(config, routes, onNote)
  for (const route of routes) await checkSink(route, onNote)
  if (holder !== undefined || (await isRunning(config))) {
    const which = holder === undefined ? '' : ` (process ${holder})`
    return onNote(
      `a Millrace is running here${which}, so its ports were not tried: it has to stop before another one starts`,
    )
  }
  await checkPorts(config)
}

/** @returns the process that has the log open, if any. */
async function checkLogs(
  config: Config,
  routes: readonly CheckedRoute[],
  onNote: (message: string) => void,
): Promise<string | undefined> {
  if (config.LOG_ENGINE === 'kafka') {
    if (config.KAFKA_CREATE_TOPICS) onNote('the brokers were not asked: with KAFKA_CREATE_TOPICS a start makes topics')
    else {
      const observer = { onWarning: onNote }
      await openLog(config, observer).then((log) => log.close())
      for (const { name } of routes) await openDeadLetters(config, name, observer).then((log) => log.close())
    }
    return undefined
  }
  const log = join(config.DATA_DIR, 'log')
  for (const directory of [log, ...routes.map(({ name }) => join(config.DATA_DIR, 'dead-letters', name))]) {
    await findIdentity(nodeFiles, directory)
      .then(() => ConsumerStore.open(nodeFiles, directory, new SpaceReserve(nodeFiles, directory), onNote))
      .catch((error) => {
        if (systemCode(error) !== 'ENOENT') throw unusable(directory, error)
      })
  }
  requireKnownCounts(config.DATA_DIR)
  return lockHolder(log)
}

async function checkSink(route: CheckedRoute, onNote: (message: string) => void): Promise<void> {
  const { name, config } = route
  if (route.sink === 'file') return // opening it would create its directory, which is checked already
  const retry = { baseMs: config.RETRY_BASE_MS, maxMs: config.RETRY_MAX_MS, maxAttempts: config.RETRY_MAX_ATTEMPTS }
  const opened = await openSink(route, {
    name,
    backoffMs: (attempt) => backoffMs(attempt, retry),
    onWarning: onNote,
    onFailure: (error) => onNote(error.message),
  })
  await opened.close()
}

/** Whether a service with this configuration is already running. */
async function isRunning({ ADMIN_HOST, ADMIN_PORT }: Config): Promise<boolean> {
  if (ADMIN_PORT === 0) return false
  try {
    const url = `${localUrl(ADMIN_HOST, String(ADMIN_PORT))}/status`
    const response = await fetch(url, { redirect: 'manual', signal: AbortSignal.timeout(STATUS_WITHIN_MS) })
    return ((await response.json()) as { name?: unknown }).name === 'millrace'
  } catch {
    return false
  }
}

/** Opens both ports at the same time, as a service does. */
async function checkPorts(config: Config): Promise<void> {
  const servers = [createServer(), createServer()] as const
  const [first, second] = servers.map((server) => ({
    listen: (options: { host: string; port: number }) =>
      new Promise<string>((resolve, reject) => {
        server.once('error', reject).listen(options, () => resolve(''))
      }),
  }))
  try {
    if (config.ROLE !== 'deliver' && first) await listen(first, config.HOST, config.PORT, '')
    if (second) await listen(second, config.ADMIN_HOST, config.ADMIN_PORT, 'ADMIN_')
  } finally {
    for (const server of servers) server.close()
  }
}
