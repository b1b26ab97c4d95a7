/**
 * Reads the secrets of the hooks. They are in variables or files, never in the config file. Files are read again while
 * the service runs (http/credentials.ts); the variables of a process do not change.
 */
import { readFileSync } from 'node:fs'
import { MillraceError, messageOf } from '../errors.ts'
import type { HookFiles } from '../http/credentials.ts'
import type { Hook, OpenHook } from './hook.ts'
import { type EventFields, PROVIDERS, type SignatureScheme } from './scheme.ts'

const DEFAULT_TOLERANCE_SECONDS = 300
/** The same length as for API keys: too long to be guessed. */
const MIN_SECRET_BYTES = 16

/**
 * @param file name of the config file in messages.
 * @param hooks checked by check.ts.
 * @throws MillraceError CONFIG_INVALID; its message names the hook and the variable or file, never the secret.
 */
export function openHooks(
  file: string,
  hooks: Readonly<Record<string, Hook>>,
  environment: Readonly<Record<string, string | undefined>>,
): OpenHook[] {
  return Object.entries(hooks).map(([name, hook]) => {
    const { scheme, fields } = schemeOf(hook)
    const isOwn = hook.provider === 'hmac' || hook.provider === 'standard-webhooks'
    return {
      ...{ name, scheme, fields, provider: hook.provider },
      keys: keysOf(`${file}: hooks.${name}`, hook, scheme, environment),
      toleranceSeconds: hook.toleranceSeconds ?? DEFAULT_TOLERANCE_SECONDS,
      typePrefix: hook.typePrefix ?? (isOwn ? name : hook.provider),
      extensions: lowerValues(hook.extensions ?? {}),
      allowedOrigins: (hook.allowedOrigins ?? []).map((origin) => origin.toLowerCase()),
    }
  })
}

/** For reading the secrets again when a file changes. */
export function hookFiles(
  { name, hooks }: { readonly name: string; readonly hooks: Readonly<Record<string, Hook>> },
  environment: Readonly<Record<string, string | undefined>>,
): HookFiles {
  return {
    open: () => openHooks(name, hooks, environment),
    paths: Object.values(hooks).flatMap(({ secretFiles = [] }) => secretFiles),
  }
}

/** Converts header names to lower case, as Node has them. */
function schemeOf(hook: Hook): { scheme: SignatureScheme; fields: EventFields } {
  if (hook.provider !== 'hmac') return PROVIDERS[hook.provider]
  const { signature, id, type } = hook
  const { timestamp } = signature
  const lower = (field: typeof id) => (field && 'header' in field ? { header: field.header.toLowerCase() } : field)
  const scheme = {
    ...signature,
    header: signature.header.toLowerCase(),
    ...(timestamp && { timestamp: { ...timestamp, header: timestamp.header.toLowerCase() } }),
  }
  return { scheme, fields: { id: lower(id), type: lower(type) } }
}

function lowerValues(record: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(record).map(([name, value]) => [name, value.toLowerCase()]))
}

function keysOf(
  where: string,
  { secretVariables = [], secretFiles = [] }: Hook,
  { secretEncoding = 'utf8' }: SignatureScheme,
  environment: Readonly<Record<string, string | undefined>>,
): Uint8Array[] {
  const fail = (problem: string) => new MillraceError('CONFIG_INVALID', `${where}: ${problem}`)
  const decode = (from: string, text: string): Uint8Array => {
    const encoded = secretEncoding === 'base64' ? text.replace(/^whsec_/, '') : text
    const key = Buffer.from(encoded, secretEncoding)
    if (secretEncoding !== 'utf8' && key.toString(secretEncoding).length < encoded.replace(/=+$/, '').length) {
      throw fail(`${from} holds no ${secretEncoding}: copy the whole secret`)
    }
    if (key.length < MIN_SECRET_BYTES) {
      throw fail(`${from} holds ${key.length} bytes, a secret needs ${MIN_SECRET_BYTES}: choose a longer one`)
    }
    return new Uint8Array(key)
  }
  const ofVariables = secretVariables.map((name) => {
    const text = environment[name]?.trim() ?? ''
    if (text === '') throw fail(`the variable ${name} is not set: put the secret of the sender there`)
    return decode(name, text)
  })
  const ofFiles = secretFiles.map((path) => decode(path, readSecret(path, fail)))
  return [...ofVariables, ...ofFiles]
}

function readSecret(path: string, fail: (problem: string) => MillraceError): string {
  try {
    return readFileSync(path, 'utf8').trim()
  } catch (error) {
    throw fail(`cannot read the file of a secret (${messageOf(error)})`)
  }
}
