/**
 * Variables whose values stay in Secrets Manager or Parameter Store: ECS reads them when it starts a task, with the execution
 * role. Terraform reads neither value; a secret that does not exist ends the plan.
 * https://docs.aws.amazon.com/AmazonECS/latest/developerguide/specifying-sensitive-data.html
 */
import { DataAwsSecretsmanagerSecret } from '@cdktf/provider-aws/lib/data-aws-secretsmanager-secret/index.js'
import { Construct } from 'constructs'
import type { Environment as ContainerEnvironment } from '../../app/config.ts'
import type { Account, Environment, Secret } from '../environment.ts'
import type { Role } from '../names.ts'
import type { Statement } from '../policy.ts'
import { isForRole } from '../settable.ts'

type Name = keyof ContainerEnvironment

interface Found {
  readonly name: Name
  readonly arn: string
  /** As the task definition names it. */
  readonly valueFrom: string
  readonly service: 'secretsmanager' | 'ssm'
  readonly kmsKeyArn: string | undefined
}

export class ServiceSecrets extends Construct {
  readonly #region: string
  readonly #found: readonly Found[]

  constructor(scope: Construct, id: string, { account, environment }: { account: Account; environment: Environment }) {
    super(scope, id)
    this.#region = account.region
    this.#found = Object.entries(environment.secrets ?? {}).map(([name, secret]) =>
      this.#find(name as Name, secret, account),
    )
  }

  /** By variable, for the tasks of a role. */
  valuesFrom(role: Role): Partial<Record<Name, string>> {
    return Object.fromEntries(this.#of(role).map(({ name, valueFrom }) => [name, valueFrom]))
  }

  /** What the execution role of those tasks may read, and nothing else. */
  statements(role: Role): readonly Statement[] {
    const found = this.#of(role)
    const arnsOf = (service: Found['service']) => [
      ...new Set(found.filter((one) => one.service === service).map(({ arn }) => arn)),
    ]
    const [secrets, parameters] = [arnsOf('secretsmanager'), arnsOf('ssm')]
    const keys = [...new Set(found.flatMap(({ kmsKeyArn }) => kmsKeyArn ?? []))]
    return [
      ...(secrets.length > 0 ? [{ Action: 'secretsmanager:GetSecretValue', Resource: secrets }] : []),
      ...(parameters.length > 0 ? [{ Action: 'ssm:GetParameters', Resource: parameters }] : []),
      ...keys.map((key) => ({
        Action: 'kms:Decrypt',
        Resource: key,
        Condition: {
          StringEquals: {
            'kms:ViaService': ['secretsmanager', 'ssm'].map((service) => `${service}.${this.#region}.amazonaws.com`),
          },
        },
      })),
    ]
  }

  #of(role: Role): readonly Found[] {
    return this.#found.filter(({ name }) => isForRole(name, role))
  }

  #find(name: Name, secret: Secret, { id, region }: Account): Found {
    const { kmsKeyArn } = secret
    if ('parameter' in secret) {
      const arn = `arn:aws:ssm:${region}:${id}:parameter/${secret.parameter.replace(/^\//, '')}`
      return { name, arn, valueFrom: arn, service: 'ssm', kmsKeyArn }
    }
    // Its ARN ends in characters that AWS chose.
    const { arn } = new DataAwsSecretsmanagerSecret(this, name.toLowerCase(), { name: secret.secret })
    const valueFrom = secret.jsonKey === undefined ? arn : `${arn}:${secret.jsonKey}::`
    return { name, arn, valueFrom, service: 'secretsmanager', kmsKeyArn }
  }
}
