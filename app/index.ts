/**
 * The exports of `millrace`: for config files, and to run Millrace inside the user's own program. `millrace/testing`
 * has the exports for tests.
 */
import type { App } from './app.ts'
import type { StartOptions } from './embedded.ts'

export type { App } from './app.ts'
export { defineConfig, type UserConfig } from './config-file/define.ts'
export type { Route } from './delivery/route.ts'
export type { StartOptions } from './embedded.ts'
export { MillraceError } from './errors.ts'
export type { Event } from './event.ts'
export { type Filter, type Handler, type HandlerContext, ofType, onType } from './handlers/handler.ts'
export type { HmacHook, Hook, ProviderHook } from './hooks/hook.ts'
export {
  type Failure,
  type Item,
  type Refused,
  type Sink,
  type SinkBatch,
  type SinkContext,
  type SinkFactory,
  type SinkParts,
  SinkUnavailable,
} from './sinks/sink.ts'

/**
 * Starts Millrace inside this process, and resolves once it listens. It handles no signals and never ends the process:
 * `millrace serve` does. Handlers run on this thread: `HANDLER_THREADS` needs a config file, which threads can load.
 * @throws MillraceError; its message says what is wrong and what to do.
 */
export async function startApp(options: StartOptions = {}): Promise<App> {
  // Import the service only here: config files import this module, also on threads, and do not need the service.
  const { startEmbedded } = await import('./embedded.ts')
  return startEmbedded(options)
}
