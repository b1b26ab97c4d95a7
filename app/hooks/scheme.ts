/**
 * Signature schemes of senders. All of them send an HMAC of a text with the body, encoded in a header, with a prefix:
 *
 *     GitHub             x-hub-signature-256: sha256=HEX               of {body}
 *     Shopify            x-shopify-hmac-sha256: BASE64                 of {body}
 *     Slack              x-slack-signature: v0=HEX                     of v0:{timestamp}:{body}
 *     Stripe             stripe-signature: t=SECONDS,v1=HEX,v1=HEX     of {timestamp}.{body}
 *     Standard Webhooks  webhook-signature: v1,BASE64 v1,BASE64        of {id}.{timestamp}.{body}
 */

/** Where a value is: in a header, or in the body (`event.type`: the member `type` of the member `event`). */
export type Field = { readonly header: string } | { readonly member: string }

export interface EventFields {
  readonly id?: Field | undefined
  readonly type?: Field | undefined
  /** Used if there is no `type`. */
  readonly otherType?: Field | undefined
}

export interface SignatureScheme {
  /** Header with one or more signatures. */
  readonly header: string
  /** Separator between signatures. Default: there is only one signature. */
  readonly separator?: string
  /** Prefix of a signature. Default: none. */
  readonly prefix?: string
  /** Default: `hex`, in lower case or upper case. */
  readonly encoding?: 'hex' | 'base64'
  /** Default: `sha256`. */
  readonly algorithm?: 'sha256' | 'sha384' | 'sha512'
  /**
   * The text that is signed, with `{body}` once; `{timestamp}` and `{id}` are the values of those headers. Default:
   * `{body}`; with a timestamp, `{timestamp}.{body}`.
   */
  readonly signed?: string
  /** Header with the time of the signature, since the epoch; `unit` is `s` by default. Default: none, and no window. */
  readonly timestamp?: { readonly header: string; readonly prefix?: string; readonly unit?: 's' | 'ms' }
  /**
   * Encoding of the secret. Default: `utf8`, the text itself is the key. A prefix `whsec_` before base64 is removed.
   */
  readonly secretEncoding?: 'utf8' | 'base64' | 'hex'
}

interface Provider {
  readonly scheme: SignatureScheme
  readonly fields: EventFields
}

export const PROVIDERS = {
  // https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries
  github: {
    scheme: { header: 'x-hub-signature-256', prefix: 'sha256=' },
    fields: { id: { header: 'x-github-delivery' }, type: { header: 'x-github-event' } },
  },
  // https://shopify.dev/docs/apps/build/webhooks/verify-deliveries
  shopify: {
    scheme: { header: 'x-shopify-hmac-sha256', encoding: 'base64' },
    fields: { id: { header: 'x-shopify-webhook-id' }, type: { header: 'x-shopify-topic' } },
  },
  // https://docs.slack.dev/authentication/verifying-requests-from-slack
  slack: {
    scheme: {
      header: 'x-slack-signature',
      prefix: 'v0=',
      signed: 'v0:{timestamp}:{body}',
      timestamp: { header: 'x-slack-request-timestamp' },
    },
    fields: { id: { member: 'event_id' }, type: { member: 'event.type' }, otherType: { member: 'type' } },
  },
  // https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
  'standard-webhooks': {
    scheme: {
      header: 'webhook-signature',
      separator: ' ',
      prefix: 'v1,',
      encoding: 'base64',
      signed: '{id}.{timestamp}.{body}',
      timestamp: { header: 'webhook-timestamp' },
      secretEncoding: 'base64',
    },
    fields: { id: { header: 'webhook-id' }, type: { member: 'type' } },
  },
  // https://docs.stripe.com/webhooks/signature
  stripe: {
    scheme: {
      header: 'stripe-signature',
      separator: ',',
      prefix: 'v1=',
      signed: '{timestamp}.{body}',
      timestamp: { header: 'stripe-signature', prefix: 't=' },
    },
    fields: { id: { member: 'id' }, type: { member: 'type' } },
  },
} as const satisfies Readonly<Record<string, Provider>>
