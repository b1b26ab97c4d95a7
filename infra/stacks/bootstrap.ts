/** Once an account: where state lives, where images live, and who may change anything from GitHub. */
import { EcrLifecyclePolicy } from '@cdktf/provider-aws/lib/ecr-lifecycle-policy/index.js'
import { EcrRepository } from '@cdktf/provider-aws/lib/ecr-repository/index.js'
import { EcrRepositoryPolicy } from '@cdktf/provider-aws/lib/ecr-repository-policy/index.js'
import { KmsAlias } from '@cdktf/provider-aws/lib/kms-alias/index.js'
import { KmsKey } from '@cdktf/provider-aws/lib/kms-key/index.js'
import type { Construct } from 'constructs'
import { GithubRoles } from '../constructs/github-roles.ts'
import { PrivateBucket } from '../constructs/private-bucket.ts'
import type { Environment } from '../environment.ts'
import { bootstrapName, PLANS_PREFIX, REPOSITORY, stateBucketName } from '../names.ts'
import type { Place } from '../place.ts'
import { keyPolicy, policy } from '../policy.ts'
import { AwsStack, STATE_KEY_ALIAS } from './aws-stack.ts'

const UNTAGGED_IMAGES_DAYS = 14
/** A plan that was not approved within this time is out of date. */
const SAVED_PLANS_DAYS = 14

export class Bootstrap extends AwsStack {
  /** `environments` are those in the account; `others` are the ids of all other accounts. */
  constructor(scope: Construct, account: Place, environments: readonly Environment[], others: readonly string[]) {
    super(scope, bootstrapName(account), account, 'account')
    const key = new KmsKey(this, 'key', {
      description: 'Terraform state and images of Millrace',
      enableKeyRotation: true,
      deletionWindowInDays: 30,
      policy: keyPolicy(account.id, account.region, []),
    })
    new KmsAlias(this, 'key-alias', { name: STATE_KEY_ALIAS, targetKeyId: key.keyId })
    const protect = account.protectState
    const accesses = new PrivateBucket(this, 'access-log', {
      name: `millrace-state-access-${account.id}-${account.region}`,
      expireAfterDays: 365,
      protect,
      allow: (arn) => [
        {
          Sid: 'S3WritesAccessLogs',
          Principal: { Service: 'logging.s3.amazonaws.com' },
          Action: 's3:PutObject',
          Resource: `${arn}/*`,
          Condition: { StringEquals: { 'aws:SourceAccount': account.id } },
        },
      ],
    })
    const state = new PrivateBucket(this, 'state', {
      name: stateBucketName(account),
      kmsKeyArn: key.arn,
      accessLog: { bucket: accesses, prefix: 'state/' },
      shortLived: { prefix: PLANS_PREFIX, days: SAVED_PLANS_DAYS },
      protect,
    })

    const isFirst = account.id === account.images.id
    const repository = isFirst ? this.#images(key.arn, others) : undefined
    const roles = new GithubRoles(this, 'github', {
      account,
      environments: environments.map(({ name }) => name),
      stateBucketArn: state.arn,
      stateKeyArn: key.arn,
      repositoryArn: repository?.arn,
    })
    if (repository) this.output('image_repository', repository.repositoryUrl)
    this.output('plan_role', roles.planRoleArn)
    for (const [name, arn] of roles.applyRoleArns) this.output(`apply_role_${name}`, arn)
    if (roles.pushRoleArn !== undefined) this.output('push_role', roles.pushRoleArn)
  }

  /** `others`: accounts whose tasks run these images. */
  #images(keyArn: string, others: readonly string[]): EcrRepository {
    const repository = new EcrRepository(this, 'images', {
      name: REPOSITORY,
      imageTagMutability: 'IMMUTABLE',
      imageScanningConfiguration: { scanOnPush: true },
      encryptionConfiguration: [{ encryptionType: 'KMS', kmsKey: keyArn }],
      forceDelete: !this.account.protectState,
    })
    new EcrLifecyclePolicy(this, 'images-lifecycle', {
      repository: repository.name,
      policy: JSON.stringify({
        rules: [
          {
            rulePriority: 1,
            description: 'Images without a tag are leftovers of builds',
            selection: {
              tagStatus: 'untagged',
              countType: 'sinceImagePushed',
              countUnit: 'days',
              countNumber: UNTAGGED_IMAGES_DAYS,
            },
            action: { type: 'expire' },
          },
        ],
      }),
    })
    if (others.length > 0) {
      new EcrRepositoryPolicy(this, 'images-policy', {
        repository: repository.name,
        policy: policy({
          Sid: 'OtherAccountsPull',
          Principal: { AWS: others.map((id) => `arn:aws:iam::${id}:root`) },
          Action: ['ecr:BatchCheckLayerAvailability', 'ecr:BatchGetImage', 'ecr:GetDownloadUrlForLayer'],
        }),
      })
    }
    return repository
  }
}
