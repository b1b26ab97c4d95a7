/** What every stack has: the provider, its state in the bucket that bootstrap made, tags, and the names things go by. */
import { AwsProvider } from '@cdktf/provider-aws/lib/provider/index.js'
import { S3Backend, TerraformOutput, TerraformStack } from 'cdktf'
import type { Construct } from 'constructs'
import { stateBucketName } from '../names.ts'
import type { Place } from '../place.ts'

/** `use_lockfile` came with 1.10, ephemeral values with 1.10, write-only arguments with 1.11; with OpenTofu all in 1.11. */
const TERRAFORM_VERSION = '>= 1.11.0'

export abstract class AwsStack extends TerraformStack {
  readonly account: Place

  constructor(scope: Construct, name: string, account: Place, environmentName: string) {
    super(scope, name)
    this.account = account
    new AwsProvider(this, 'aws', {
      region: account.region,
      allowedAccountIds: [account.id],
      defaultTags: [
        { tags: { Project: 'millrace', Environment: environmentName, Stack: name, ManagedBy: 'terraform' } },
      ],
      ...(emulated() && { skipCredentialsValidation: true, skipMetadataApiCheck: 'true', s3UsePathStyle: true }),
    })
    this.addOverride('terraform.required_version', TERRAFORM_VERSION)
    this.addOverride('terraform.required_providers.aws.version', account.awsProviderVersion)
    new S3Backend(this, {
      bucket: stateBucketName(account),
      key: `${name}.tfstate`,
      region: account.stateRegion,
      encrypt: true,
      kmsKeyId: `arn:aws:kms:${account.stateRegion}:${account.id}:${STATE_KEY_ALIAS}`,
      ...(emulated() && { skipCredentialsValidation: true, skipMetadataApiCheck: true, usePathStyle: true }),
    })
    // Since Terraform 1.10, the S3 backend can lock with a file. cdktf has no option for that.
    this.addOverride('terraform.backend.s3.use_lockfile', true)
  }

  /** Shown after a deployment, by this name and no hash. */
  output(name: string, value: string): void {
    new TerraformOutput(this, `output-${name}`, { value }).overrideLogicalId(name)
  }
}

export const STATE_KEY_ALIAS = 'alias/millrace-state'

/** An AWS that runs on this machine (moto, LocalStack): no instance metadata, no bucket in a host name. */
function emulated(): boolean {
  const { hostname } = URL.parse(process.env.AWS_ENDPOINT_URL ?? '') ?? { hostname: '' }
  return /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(hostname)
}
