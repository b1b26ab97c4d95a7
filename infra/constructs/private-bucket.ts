/** A private bucket: encrypted, versioned, no public access, TLS only, old versions and uploads cleaned up. */
import { S3Bucket } from '@cdktf/provider-aws/lib/s3-bucket/index.js'
import {
  S3BucketLifecycleConfiguration,
  type S3BucketLifecycleConfigurationRule,
} from '@cdktf/provider-aws/lib/s3-bucket-lifecycle-configuration/index.js'
import { S3BucketLoggingA } from '@cdktf/provider-aws/lib/s3-bucket-logging/index.js'
import { S3BucketOwnershipControls } from '@cdktf/provider-aws/lib/s3-bucket-ownership-controls/index.js'
import { S3BucketPolicy } from '@cdktf/provider-aws/lib/s3-bucket-policy/index.js'
import { S3BucketPublicAccessBlock } from '@cdktf/provider-aws/lib/s3-bucket-public-access-block/index.js'
import { S3BucketServerSideEncryptionConfigurationA } from '@cdktf/provider-aws/lib/s3-bucket-server-side-encryption-configuration/index.js'
import { S3BucketVersioningA } from '@cdktf/provider-aws/lib/s3-bucket-versioning/index.js'
import { Construct } from 'constructs'
import { onlyOverTls, policy, type Statement } from '../policy.ts'

export interface PrivateBucketOptions {
  /** Unique in all of AWS. */
  readonly name: string
  /** Without one: keys of S3 itself, which is all that log delivery by AWS supports. */
  readonly kmsKeyArn?: string
  /** Objects move to infrequent access, then go. Default: they stay. Days. */
  readonly expireAfterDays?: number
  /** Objects below this prefix go after so many days (without: they stay), old versions of them after one. Default: none. */
  readonly shortLived?: { readonly prefix: string; readonly days?: number }
  /** Where accesses are logged; default: nowhere. */
  readonly accessLog?: { readonly bucket: PrivateBucket; readonly prefix: string }
  /** Terraform refuses to destroy it. */
  readonly protect: boolean
  /** Who else may do what, given the bucket's ARN. */
  readonly allow?: (bucketArn: string) => readonly Statement[]
}

const OLD_VERSIONS_DAYS = 90
const UNFINISHED_UPLOADS_DAYS = 7

export class PrivateBucket extends Construct {
  readonly name: string
  readonly arn: string
  /** What must exist before something is delivered here. */
  readonly policy: S3BucketPolicy

  constructor(scope: Construct, id: string, options: PrivateBucketOptions) {
    super(scope, id)
    const { name, kmsKeyArn, accessLog, protect, allow } = options
    const bucket = new S3Bucket(this, 'bucket', {
      bucket: name,
      forceDestroy: !protect,
      lifecycle: { preventDestroy: protect },
    })
    this.name = bucket.bucket
    this.arn = bucket.arn
    new S3BucketOwnershipControls(this, 'owner', {
      bucket: bucket.id,
      rule: { objectOwnership: 'BucketOwnerEnforced' },
    })
    const closed = new S3BucketPublicAccessBlock(this, 'closed', {
      bucket: bucket.id,
      blockPublicAcls: true,
      blockPublicPolicy: true,
      ignorePublicAcls: true,
      restrictPublicBuckets: true,
    })
    new S3BucketServerSideEncryptionConfigurationA(this, 'encryption', {
      bucket: bucket.id,
      rule: [
        {
          applyServerSideEncryptionByDefault: kmsKeyArn
            ? { sseAlgorithm: 'aws:kms', kmsMasterKeyId: kmsKeyArn }
            : { sseAlgorithm: 'AES256' },
          ...(kmsKeyArn && { bucketKeyEnabled: true }),
        },
      ],
    })
    const versioning = new S3BucketVersioningA(this, 'versions', {
      bucket: bucket.id,
      versioningConfiguration: { status: 'Enabled' },
    })
    new S3BucketLifecycleConfiguration(this, 'lifecycle', {
      bucket: bucket.id,
      rule: lifecycleRules(options),
      dependsOn: [versioning],
    })
    if (accessLog) {
      new S3BucketLoggingA(this, 'access-log', {
        bucket: bucket.id,
        targetBucket: accessLog.bucket.name,
        targetPrefix: accessLog.prefix,
        dependsOn: [accessLog.bucket.policy],
      })
    }
    this.policy = new S3BucketPolicy(this, 'policy', {
      bucket: bucket.id,
      policy: policy(onlyOverTls(bucket.arn), ...(allow?.(bucket.arn) ?? [])),
      dependsOn: [closed], // S3 refuses the two at the same time
    })
  }
}

function lifecycleRules({ expireAfterDays, shortLived }: PrivateBucketOptions): S3BucketLifecycleConfigurationRule[] {
  const tidy: S3BucketLifecycleConfigurationRule = {
    id: 'tidy',
    status: 'Enabled',
    filter: [{ prefix: '' }],
    noncurrentVersionExpiration: [{ noncurrentDays: OLD_VERSIONS_DAYS }],
    abortIncompleteMultipartUpload: [{ daysAfterInitiation: UNFINISHED_UPLOADS_DAYS }],
    ...(expireAfterDays !== undefined && { expiration: [{ days: expireAfterDays }] }),
    ...(expireAfterDays !== undefined &&
      expireAfterDays > 30 && { transition: [{ days: 30, storageClass: 'STANDARD_IA' }] }),
  }
  if (!shortLived) return [tidy]
  return [
    tidy,
    {
      id: 'short-lived',
      status: 'Enabled',
      filter: [{ prefix: shortLived.prefix }],
      ...(shortLived.days !== undefined && { expiration: [{ days: shortLived.days }] }),
      noncurrentVersionExpiration: [{ noncurrentDays: 1 }],
    },
  ]
}
