/** IAM policies as values. */

export interface Statement {
  readonly Sid?: string
  readonly Effect?: 'Allow' | 'Deny'
  readonly Principal?: Readonly<Record<string, string | readonly string[]>>
  readonly Action: string | readonly string[]
  readonly Resource: string | readonly string[]
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
 * A key policy: the account administers the key by IAM (without this statement nobody could), and the given services of
 * this account may use it.
 */
export function keyPolicy(accountId: string, region: string, services: readonly string[]): string {
  const account: Statement = {
    Sid: 'AccountAdministers',
    Principal: { AWS: `arn:aws:iam::${accountId}:root` },
    Action: 'kms:*',
    Resource: '*', // in a key policy: this key
  }
  const logs = `logs.${region}.amazonaws.com`
  const uses = ['kms:Encrypt*', 'kms:Decrypt*', 'kms:ReEncrypt*', 'kms:GenerateDataKey*', 'kms:Describe*']
  return policy(
    account,
    ...services.map(
      (service): Statement => ({
        Sid: `Service${service.replace(/\W/g, '')}`,
        Principal: { Service: service === 'logs' ? logs : `${service}.amazonaws.com` },
        Action: uses,
        Resource: '*', // in a key policy: this key
        Condition:
          service === 'logs'
            ? { ArnLike: { 'kms:EncryptionContext:aws:logs:arn': `arn:aws:logs:${region}:${accountId}:*` } }
            : { StringEquals: { 'aws:SourceAccount': accountId } },
      }),
    ),
  )
}
