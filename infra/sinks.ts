/** What the sinks of an environment need in AWS: variables of the app, permissions of its task role, ways out of the VPC. */
import type { Environment as ContainerEnvironment } from '../app/config.ts'
import type { Account, Destination, Environment, S3Bucket } from './environment.ts'
import { ARCHIVE_CUTS_PREFIX, ARCHIVE_PREFIX } from './names.ts'
import type { Statement } from './policy.ts'

const POSTGRES_PORT = 5432

/** The bucket that the foundation makes. */
export interface Archive {
  readonly name: string
  readonly arn: string
  readonly keyArn: string
}

/** A way out of the tasks' security group. */
export interface Egress {
  readonly what: string
  readonly to: Destination
  readonly port: number
}

/** Values for the variables of the sinks, without those that `variables` and `secrets` of the environment give. */
export function sinkVariables(environment: Environment, account: Account, archive: Archive): ContainerEnvironment {
  const { s3, ...others } = sinksOf(environment)
  const names = [...(s3 ? ['s3'] : []), ...(['postgres', 'http'] as const).filter((name) => others[name])]
  return {
    // With SINKS, every event would also go to each of them, beside the routes.
    ...(!others.routes && { SINKS: names.join(',') }),
    ...(s3 === 'archive' && { S3_SINK_BUCKET: archive.name, S3_SINK_REGION: account.region }),
    ...(isBucket(s3) && { S3_SINK_BUCKET: s3.bucket, S3_SINK_REGION: s3.region ?? account.region }),
    ...(isBucket(s3) && s3.kmsKeyArn !== undefined && { S3_SINK_KMS_KEY_ID: s3.kmsKeyArn }),
    ...(s3 && { S3_SINK_PREFIX: ARCHIVE_PREFIX }),
  }
}

/** What a task that delivers may do in AWS. */
export function sinkPermissions(environment: Environment, archive: Archive): readonly Statement[] {
  const { s3 } = sinksOf(environment)
  if (s3 === undefined) return []
  const [arn, keyArn] = isBucket(s3) ? [`arn:aws:s3:::${s3.bucket}`, s3.kmsKeyArn] : [archive.arn, archive.keyArn]
  return [
    { Sid: 'Archive', Action: ['s3:PutObject', 's3:AbortMultipartUpload'], Resource: `${arn}/${ARCHIVE_PREFIX}*` },
    { Sid: 'ArchiveCuts', Action: 's3:GetObject', Resource: `${arn}/${ARCHIVE_CUTS_PREFIX}*` },
    ...(keyArn === undefined
      ? []
      : [{ Sid: 'ArchiveKey', Action: ['kms:GenerateDataKey', 'kms:Decrypt'], Resource: keyArn }]),
  ]
}

/** Where a task that delivers connects to. HTTPS (443) is open for every task. */
export function sinkEgress(environment: Environment): readonly Egress[] {
  const { postgres, http } = sinksOf(environment)
  return [
    ...(postgres ? [{ what: 'postgres', to: postgres, port: postgres.port ?? POSTGRES_PORT }] : []),
    ...(http && http !== 'https' ? [{ what: 'http', to: http, port: http.port }] : []),
  ]
}

/** Port that the URL of the sink must have. */
export function sinkPort(environment: Environment, sink: 'postgres' | 'http'): number {
  return sinkEgress(environment).find(({ what }) => what === sink)?.port ?? 443
}

export function sinksOf({ sinks = { s3: 'archive' } }: Environment): NonNullable<Environment['sinks']> {
  return sinks
}

function isBucket(s3: 'archive' | S3Bucket | undefined): s3 is S3Bucket {
  return typeof s3 === 'object'
}
