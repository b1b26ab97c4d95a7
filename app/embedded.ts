/** Runs Millrace inside the user's own program: `startApp` of index.ts. */
import { type App, ownOutput, startApp } from './app.ts'
import { loadConfig } from './config.ts'
import type { UserConfig } from './config-file/define.ts'
import { configFileOf } from './config-file/load.ts'
import { MillraceError } from './errors.ts'
import { createLogger } from './observability/logger.ts'

export interface StartOptions {
  /** Variables, as in `process.env`. Default: none, so every variable has its default. */
  readonly environment?: Readonly<Record<string, string | undefined>>
  /** The value that a config file would export. Default: none; no file is searched for. */
  readonly config?: UserConfig
  /** Called once when only a restart helps, for example after a disk failed. Default: the error is thrown, uncaught. */
  readonly onFailure?: (error: Error) => void
}

/** @throws MillraceError, the error of a start. */
export async function startEmbedded({ environment = {}, config: given = {}, onFailure }: StartOptions): Promise<App> {
  const config = loadConfig({ ...environment })
  for (const variable of ['HANDLER_THREADS', 'DELIVERY_THREAD'] as const) {
    if (!config[variable]) continue
    throw new MillraceError('CONFIG_INVALID', `${variable}: threads need a config file to load: use millrace serve`)
  }
  const file = configFileOf('config', given)
  const fail = (error: Error) => {
    throw error
  }
  const logger = await createLogger(config.LOG_LEVEL, ownOutput(config, file))
  return startApp(config, logger, onFailure ?? fail, { file, environment })
}
