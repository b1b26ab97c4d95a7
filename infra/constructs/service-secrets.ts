/**
 * Variables whose values stay in Secrets Manager or Parameter Store: ECS reads them when it starts a task, with the execution
 * role. Terraform reads neither value; a secret that does not exist ends the plan.
 * https://docs.aws.amazon.com/AmazonECS/latest/developerguide/specifying-sensitive-data.html
 */
import { DataAwsSecretsmanagerSecret } from '@cdktf/provider-aws/lib/data-aws-secretsmanager-secret/index.js'
import { Construct } from 'constructs'
import type { Account, Environment, Secret } from '../environment.ts'
import type { Role } from '../names.ts'
import type { Statement } from '../policy.ts'
import { isForRole } from '../settable.ts'

interface Found {
  readonly name: string
  /** Of a webhook: for every task that takes events. Else for the tasks of which the name is. */
  readonly isOfHook: boolean
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
    const { secrets = {}, hookSecrets = {} } = environment
    this.#found = [
      ...Object.entries(secrets).map(([name, secret]) => this.#find(name, secret, account, false)),
      ...Object.entries(hookSecrets).map(([name, secret]) => this.#find(name, secret, account, true)),
    ]
  }

  /** By variable, for the tasks of a role. */
  valuesFrom(role: Role): Readonly<Record<string, string>> {
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
    return this.#found.filter(({ name, isOfHook }) => (isOfHook ? role !== 'deliver' : isForRole(name, role)))
  }

  #find(name: string, secret: Secret, { id, region }: Account, isOfHook: boolean): Found {
    const { kmsKeyArn } = secret
    if ('parameter' in secret) {
      const arn = `arn:aws:ssm:${region}:${id}:parameter/${secret.parameter.replace(/^\//, '')}`
      return { name, arn, valueFrom: arn, service: 'ssm', kmsKeyArn, isOfHook }
    }
    // Its ARN ends in characters that AWS chose.
    const { arn } = new DataAwsSecretsmanagerSecret(this, isOfHook ? `hook-${name}` : name.toLowerCase(), {
      name: secret.secret,
    })
    const valueFrom = secret.jsonKey === undefined ? arn : `${arn}:${secret.jsonKey}::`
    return { name, arn, valueFrom, service: 'secretsmanager', kmsKeyArn, isOfHook }
  }
}
