/**
 * The certificate of the public listener, the keys of its clients and the secrets of its webhooks, which can be replaced
 * while it runs.
 *
 *     files ─▶ CredentialFiles ─▶ Credentials ─▶ the server, or each of its threads
 *
 * An invalid file changes nothing: a log line says why, and the previous credentials stay in use.
 */
import type { FastifyBaseLogger } from 'fastify'
import type { Config } from '../config.ts'
import { messageOf } from '../errors.ts'
import type { OpenHook } from '../hooks/hook.ts'
import { FileWatch } from '../process/file-watch.ts'
import { type ApiKey, readKeys } from './api-keys.ts'
import { selfSigned } from './self-signed.ts'
import { describeCertificate, readTls, type TlsFiles } from './tls.ts'

export interface CredentialSet {
  /** Client name → its key. */
  readonly keys: ReadonlyMap<string, ApiKey>
  /** Undefined: the listener speaks HTTP without TLS. */
  readonly tls: TlsFiles | undefined
  /** The accepted webhooks with their secrets: always the same hooks, in the same order. */
  readonly hooks: readonly OpenHook[]
}

/** Opens the webhooks: hooks/secrets.ts. */
export interface HookFiles {
  /** @throws MillraceError CONFIG_INVALID, naming the hook. */
  open(): readonly OpenHook[]
  readonly paths: readonly string[]
}

const NO_HOOKS: HookFiles = { open: () => [], paths: [] }

/** The credentials in use. */
export class Credentials {
  #current: CredentialSet
  readonly #onReplaced: ((now: CredentialSet) => void)[] = []

  constructor(first: CredentialSet) {
    this.#current = first
  }

  get current(): CredentialSet {
    return this.#current
  }

  /** @param listener called with each new set of credentials. */
  onReplaced(listener: (now: CredentialSet) => void): void {
    this.#onReplaced.push(listener)
  }

  replace(next: CredentialSet): void {
    this.#current = next
    for (const listener of this.#onReplaced) listener(next)
  }
}

/** @throws MillraceError CONFIG_INVALID, naming the variable. */
export function readCredentials(
  config: Config,
  onWarning: (message: string) => void,
  hooks: HookFiles = NO_HOOKS,
): CredentialSet {
  const tls = config.TLS_SELF_SIGNED ? selfSigned() : readTls(config, onWarning)
  return { keys: keysOf(config), tls, hooks: hooks.open() }
}

/** Keys from API_KEYS do not change while the process runs. */
function keysOf({ API_KEYS_FILE, apiKeys }: Config): CredentialSet['keys'] {
  return API_KEYS_FILE === '' ? apiKeys : readKeys([], API_KEYS_FILE)
}

/** Keeps {@link Credentials} up to date with the files. */
export class CredentialFiles {
  readonly credentials: Credentials
  readonly #config: Config
  readonly #logger: Pick<FastifyBaseLogger, 'info' | 'warn' | 'error'>
  readonly #watch: FileWatch
  readonly #hooks: HookFiles

  /** @throws MillraceError CONFIG_INVALID when a file is not valid now. */
  constructor(config: Config, logger: Pick<FastifyBaseLogger, 'info' | 'warn' | 'error'>, hooks = NO_HOOKS) {
    this.#config = config
    this.#hooks = hooks
    this.#logger = logger
    const { TLS_CERT_FILE, TLS_KEY_FILE, TLS_CLIENT_CA_FILE, API_KEYS_FILE } = config
    const paths = [TLS_CERT_FILE, TLS_KEY_FILE, TLS_CLIENT_CA_FILE, API_KEYS_FILE].filter((path) => path !== '')
    this.#watch = new FileWatch([...paths, ...hooks.paths], () => void this.reload())
    try {
      this.credentials = new Credentials(readCredentials(config, this.#warn, hooks))
    } catch (error) {
      this.#watch.close()
      throw error
    }
  }

  /** Reads each file again, independently of the others. @returns whether anything has changed; never throws. */
  reload(): boolean {
    const { keys, tls, hooks } = this.credentials.current
    const next = {
      keys: this.#read('the keys from before stay in use', () => keysOf(this.#config)) ?? keys,
      tls: this.#config.TLS_SELF_SIGNED ? tls : (this.#readTls() ?? tls),
      hooks: this.#read('the secrets of all hooks from before stay in use', () => this.#hooks.open()) ?? hooks,
    }
    const hasNewKeys = !isSame(next.keys, keys)
    const hasNewTls = next.tls !== undefined && !isSame(Object.entries(next.tls), Object.entries(tls ?? {}))
    const newSecrets = next.hooks.filter(({ keys }, at) => !isSame(keys.entries(), hooks[at]?.keys.entries() ?? []))
    if (!hasNewKeys && !hasNewTls && newSecrets.length === 0) return false
    this.credentials.replace(next)
    if (hasNewKeys) this.#logger.info(`API_KEYS_FILE: new keys are in use: ${[...next.keys.keys()].join(', ')}`)
    if (newSecrets.length > 0) {
      this.#logger.info(`new secrets of webhooks are in use: ${newSecrets.map(({ name }) => name).join(', ')}`)
    }
    if (hasNewTls && next.tls) this.#logger.info(`TLS_CERT_FILE: new connections get ${describeCertificate(next.tls)}`)
    return true
  }

  close(): void {
    this.#watch.close()
  }

  readonly #warn = (message: string): void => this.#logger.warn(message)

  #readTls(): TlsFiles | undefined {
    return this.#read('the certificate from before stays in use', () => readTls(this.#config, this.#warn))
  }

  #read<T>(consequence: string, read: () => T): T | undefined {
    try {
      return read()
    } catch (error) {
      this.#logger.error(`${messageOf(error)}; ${consequence}`)
      return undefined
    }
  }
}

function isSame(one: Iterable<readonly unknown[]>, other: Iterable<readonly unknown[]>): boolean {
  return JSON.stringify([...one]) === JSON.stringify([...other])
}
