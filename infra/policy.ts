/** IAM policies as values. */

export interface Statement {
  readonly Sid?: string
  readonly Effect?: 'Allow' | 'Deny'
  readonly Principal?: Readonly<Record<string, string | readonly string[]>>
  readonly Action: string | readonly string[]
  /** None in the policy of an image repository: it is of that one. */
  readonly Resource?: string | readonly string[]
  readonly Condition?: Readonly<Record<string, Readonly<Record<string, string | readonly string[]>>>>
}

/** The policy document as JSON; statements allow unless they say otherwise. */
export function policy(...statements: readonly Statement[]): string {
  return JSON.stringify({
    Version: '2012-10-17',
    Statement: statements.map((statement) => ({ Effect: 'Allow', ...statement })),
  })
}

/** Who may take on a role: a service of this account, which rules out a confused deputy. */
export function trustedBy(service: string, accountId: string): string {
  return JSON.stringify({
    Version: '2012-10-17',
    Statement: [
      {
        Effect: 'Allow',
        Principal: { Service: service },
        Action: 'sts:AssumeRole',
        Condition: { StringEquals: { 'aws:SourceAccount': accountId } },
      },
    ],
  })
}

/** Refuses anything that does not come over TLS. */
export function onlyOverTls(bucketArn: string): Statement {
  return {
    Sid: 'OnlyOverTls',
    Effect: 'Deny',
    Principal: { AWS: '*' },
    Action: 's3:*',
    Resource: [bucketArn, `${bucketArn}/*`],
    Condition: { Bool: { 'aws:SecureTransport': 'false' } },
  }
}

/**
 * A key policy: the account administers the key by IAM (without this statement nobody could), CloudWatch Logs encrypts
 * the log groups of this account with it, and `senders` may publish to topics that it encrypts.
 */
export function keyPolicy(accountId: string, region: string, senders: readonly string[]): string {
  return policy(
    {
      Sid: 'AccountAdministers',
      Principal: { AWS: `arn:aws:iam::${accountId}:root` },
      Action: 'kms:*',
      Resource: '*', // in a key policy: this key
    },
    {
      Sid: 'LogsOfThisAccount',
      Principal: { Service: `logs.${region}.amazonaws.com` },
      Action: ['kms:Encrypt*', 'kms:Decrypt*', 'kms:ReEncrypt*', 'kms:GenerateDataKey*', 'kms:Describe*'],
      Resource: '*',
      Condition: { ArnLike: { 'kms:EncryptionContext:aws:logs:arn': `arn:aws:logs:${region}:${accountId}:*` } },
    },
    ...senders.map(
      // Without a condition on the account: not every service that sends names it to KMS, and an alarm that cannot be
      // encrypted is lost without a word. The topic's own policy has the condition.
      (service): Statement => ({
        Sid: `Sender${service}`,
        Principal: { Service: `${service}.amazonaws.com` },
        Action: ['kms:Decrypt', 'kms:GenerateDataKey*'],
        Resource: '*',
      }),
    ),
  )
}
