/**
 * The key that clients send events with: made by AWS while Terraform applies, and never seen by it again. It is in no
 * plan, state or output, because the random value is ephemeral and the secret's argument write-only.
 * Read it with `aws secretsmanager get-secret-value`; a new one comes with the next `apiKeyVersion`.
 */
import { SecretsmanagerSecret } from '@cdktf/provider-aws/lib/secretsmanager-secret/index.js'
import { SecretsmanagerSecretVersion } from '@cdktf/provider-aws/lib/secretsmanager-secret-version/index.js'
import { TerraformStack } from 'cdktf'
import { Construct } from 'constructs'
import type { Environment } from '../environment.ts'
import { prefix } from '../names.ts'

const EPHEMERAL = 'aws_secretsmanager_random_password'

export class ApiKey extends Construct {
  readonly arn: string
  readonly name: string
  /** Tasks need it to start. */
  readonly value: SecretsmanagerSecretVersion

  constructor(scope: Construct, id: string, options: { environment: Environment; kmsKeyArn: string }) {
    super(scope, id)
    const { environment, kmsKeyArn } = options
    const secret = new SecretsmanagerSecret(this, 'secret', {
      name: `${prefix(environment)}/api-keys`,
      description: 'API keys of Millrace, name:key separated by commas',
      kmsKeyId: kmsKeyArn,
      recoveryWindowInDays: environment.production ? 30 : 0,
    })
    this.arn = secret.arn
    this.name = secret.name
    // cdktf 0.21 knows no ephemeral blocks.
    TerraformStack.of(this).addOverride(`ephemeral.${EPHEMERAL}.api_key`, {
      password_length: 40,
      exclude_punctuation: true,
    })
    this.value = new SecretsmanagerSecretVersion(this, 'value', {
      secretId: secret.id,
      secretStringWo: `default:\${ephemeral.${EPHEMERAL}.api_key.random_password}`,
      secretStringWoVersion: environment.apiKeyVersion,
    })
  }
}
