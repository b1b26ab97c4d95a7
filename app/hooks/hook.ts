/**
 * Webhooks that others send to Millrace, as users declare them in their config file. Plain data, for threads.
 *
 *     hooks: {
 *       github: { provider: 'github', secretVariables: ['GITHUB_HOOK_SECRET'] },
 *     }
 *
 * makes `POST /v1/hooks/github`. check.ts checks it, secrets.ts reads the secrets, docs/hooks.md explains it.
 */
import type { EventFields, Field, SignatureScheme } from './scheme.ts'

export type Hook = ProviderHook | HmacHook

interface HookOptions {
  /**
   * Environment variables with one secret each. Together with `secretFiles`, 1 to 10 secrets of 16 bytes or more: a
   * signature with any of them is valid. Default: none.
   */
  readonly secretVariables?: readonly string[]
  /**
   * Files with one secret each, read at the start and again when they change. White space around the secret is removed.
   * Default: none.
   */
  readonly secretFiles?: readonly string[]
  /** Largest difference of the signed timestamp from our clock, 1 to 3600 s, if the scheme has one. Default: 300. */
  readonly toleranceSeconds?: number
  /**
   * Prefix of the `type` of events, before a dot: 1 to 64 letters, digits, `_`, `-` and `.`. Default: the provider; for
   * `standard-webhooks` and `hmac`, the name of the hook.
   */
  readonly typePrefix?: string
  /** Extension attributes from headers: name of the attribute → name of the header. At most 20. Default: none. */
  readonly extensions?: Readonly<Record<string, string>>
  /**
   * Host names of senders that may ask for permission (CloudEvents WebHook, `WebHook-Request-Origin`), or `*` for all;
   * at most 100. Default: none, so no such request is permitted.
   */
  readonly allowedOrigins?: readonly string[]
}

export interface ProviderHook extends HookOptions {
  readonly provider: 'github' | 'shopify' | 'slack' | 'standard-webhooks' | 'stripe'
}

/** Any sender that signs with an HMAC and a shared secret (RFC 2104). */
export interface HmacHook extends HookOptions {
  readonly provider: 'hmac'
  readonly signature: SignatureScheme
  /** Where to find the id of a delivery. Default: none; the log creates an id, so a repeat is another event. */
  readonly id?: Field
  /** Where to find the name of the event. Default: none; `type` is then `typePrefix` alone. */
  readonly type?: Field
}

/** A hook with all data that is needed to verify a request. Plain data. */
export interface OpenHook {
  readonly name: string
  readonly provider: Hook['provider']
  readonly scheme: SignatureScheme
  readonly fields: EventFields
  /** Keys of the HMAC. */
  readonly keys: readonly Uint8Array[]
  readonly toleranceSeconds: number
  readonly typePrefix: string
  readonly extensions: Readonly<Record<string, string>>
  readonly allowedOrigins: readonly string[]
}
