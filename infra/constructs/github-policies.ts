/** The statements of the roles of GitHub Actions (github-roles.ts): what each of them may do, and nothing else. */
import type { Account, Environment } from '../environment.ts'
import { githubRoleArn, type PipelineRole, PLANS_PREFIX } from '../names.ts'
import type { Statement } from '../policy.ts'

export interface State {
  readonly stateBucketArn: string
  readonly stateKeyArn: string
}

/** To read the state, lock it, and save plans beside it. */
export function stateStatements({ stateBucketArn, stateKeyArn }: State): readonly Statement[] {
  return [
    { Action: ['s3:ListBucket', 's3:GetBucketVersioning'], Resource: stateBucketArn },
    { Action: ['s3:GetObject'], Resource: `${stateBucketArn}/*` },
    { Action: ['s3:PutObject', 's3:DeleteObject'], Resource: `${stateBucketArn}/*.tflock` },
    { Action: 's3:PutObject', Resource: `${stateBucketArn}/${PLANS_PREFIX}*` }, // their names prove their content
    { Action: ['kms:Decrypt', 'kms:GenerateDataKey'], Resource: stateKeyArn },
  ]
}

/** To refresh every resource that Terraform manages, beside ViewOnlyAccess. */
export function refreshStatements(account: Account): readonly Statement[] {
  const collectors = `arn:aws:ssm:*:${account.id}:parameter/millrace/*/collector`
  return [
    ...REFRESH,
    { Action: 'ssm:GetParameter', Resource: collectors },
    ...(readsSecrets(account.awsProviderVersion) ? secretStatements(account) : []),
  ]
}

/**
 * Before 6.26.0 a refresh of a secret's version reads its value, and throws it away where that is write-only
 * (hashicorp/terraform-provider-aws, pull request 44876).
 */
function readsSecrets(providerVersion: string): boolean {
  const [major = 0, minor = 0] = providerVersion.split('.').map(Number)
  return major < 6 || (major === 6 && minor < 26)
}

function secretStatements({ id }: Account): readonly Statement[] {
  return [
    {
      Sid: 'ReadSecretsAsOldProvidersDo',
      Action: 'secretsmanager:GetSecretValue',
      Resource: `arn:aws:secretsmanager:*:${id}:secret:millrace-*/api-keys-*`,
    },
    {
      Sid: 'DecryptThemThroughSecretsManagerAlone',
      Action: 'kms:Decrypt',
      Resource: `arn:aws:kms:*:${id}:key/*`,
      Condition: { StringLike: { 'kms:ViaService': 'secretsmanager.*.amazonaws.com' } },
    },
  ]
}

/** To make and keep roles of one environment, within the boundary, and no others. */
export function boundedRoleStatements(
  account: Account,
  boundaryArn: string,
  environment: Environment['name'],
): readonly Statement[] {
  const roles = `arn:aws:iam::${account.id}:role/millrace-${environment}-*`
  const bounded = { StringEquals: { 'iam:PermissionsBoundary': boundaryArn } }
  return [
    {
      Sid: 'MakeBoundedRoles',
      Action: ['iam:CreateRole', 'iam:PutRolePermissionsBoundary'],
      Resource: roles,
      Condition: bounded,
    },
    {
      Sid: 'EditBoundedRoles',
      Action: ['iam:PutRolePolicy', 'iam:AttachRolePolicy'],
      Resource: roles,
      Condition: bounded,
    },
    {
      Sid: 'KeepRoles',
      Action: [
        'iam:GetRole',
        'iam:GetRolePolicy',
        'iam:ListRolePolicies',
        'iam:ListAttachedRolePolicies',
        'iam:ListInstanceProfilesForRole',
        'iam:UpdateRole',
        'iam:UpdateAssumeRolePolicy',
        'iam:TagRole',
        'iam:UntagRole',
        'iam:DeleteRole',
        'iam:DeleteRolePolicy',
        'iam:DetachRolePolicy',
      ],
      Resource: roles,
    },
    {
      Sid: 'HandRolesToTasksOnly',
      Action: 'iam:PassRole',
      Resource: roles,
      Condition: {
        StringEquals: {
          'iam:PassedToService': ['ecs-tasks.amazonaws.com', 'vpc-flow-logs.amazonaws.com', 'grafana.amazonaws.com'],
        },
      },
    },
  ]
}

/** Protects the pipeline itself: the apply role cannot assume another role, nor change any limit, also its own. */
export function pipelineStatements(
  account: Account,
  environments: readonly Environment['name'][],
): readonly Statement[] {
  const roles: readonly PipelineRole[] = ['plan', 'push', ...environments.map((name): PipelineRole => `apply-${name}`)]
  return [
    { Sid: 'BecomesNoOtherRole', Effect: 'Deny', Action: 'sts:AssumeRole', Resource: '*' },
    {
      Sid: 'NotItsOwnLimits',
      Effect: 'Deny',
      Action: [
        'iam:AttachRolePolicy',
        'iam:CreateRole',
        'iam:DeleteRole',
        'iam:DeleteRolePermissionsBoundary',
        'iam:DeleteRolePolicy',
        'iam:DetachRolePolicy',
        'iam:PassRole',
        'iam:PutRolePermissionsBoundary',
        'iam:PutRolePolicy',
        'iam:TagRole',
        'iam:UntagRole',
        'iam:UpdateAssumeRolePolicy',
        'iam:UpdateRole',
        'iam:UpdateRoleDescription',
      ],
      Resource: roles.map((role) => githubRoleArn(account, role)),
    },
  ]
}

/** Nothing of other environments in the same account: by tag where AWS knows tags, by name of buckets and states. */
export function otherEnvironmentStatements(
  { stateBucketArn }: State,
  others: readonly Environment['name'][],
): readonly Statement[] {
  if (others.length === 0) return []
  return [
    {
      Sid: 'NothingOfOtherEnvironments',
      Effect: 'Deny',
      Action: '*',
      Resource: '*',
      Condition: { StringEquals: { 'aws:ResourceTag/Project': 'millrace', 'aws:ResourceTag/Environment': others } },
    },
    {
      Sid: 'NoBucketsOfOtherEnvironments',
      Effect: 'Deny',
      Action: 's3:*',
      Resource: others.flatMap((name) => [`arn:aws:s3:::millrace-${name}-*`, `${stateBucketArn}/${name}-*`]),
    },
    {
      Sid: 'NeitherTheStateOfBootstrapNorPlans',
      Effect: 'Deny',
      Action: ['s3:PutObject', 's3:DeleteObject', 's3:DeleteObjectVersion'],
      Resource: [`${stateBucketArn}/bootstrap*`, `${stateBucketArn}/${PLANS_PREFIX}*`],
    },
  ]
}

/** To push images into one repository. */
export function pushStatements(repositoryArn: string, keyArn: string): readonly Statement[] {
  return [
    { Action: 'ecr:GetAuthorizationToken', Resource: '*' }, // AWS has no narrower one: a token is for the registry
    {
      Action: [
        'ecr:BatchCheckLayerAvailability',
        'ecr:BatchGetImage',
        'ecr:CompleteLayerUpload',
        'ecr:DescribeImages',
        'ecr:InitiateLayerUpload',
        'ecr:PutImage',
        'ecr:UploadLayerPart',
      ],
      Resource: repositoryArn,
    },
    { Action: ['kms:Decrypt', 'kms:GenerateDataKey'], Resource: keyArn },
  ]
}

/** What a refresh reads beyond ViewOnlyAccess. These calls take no narrower resource, or names not known before. */
const REFRESH: readonly Statement[] = [
  {
    Sid: 'ReadConfiguration',
    Action: [
      'acm:DescribeCertificate',
      'acm:ListTagsForCertificate',
      'application-autoscaling:DescribeScalableTargets',
      'application-autoscaling:DescribeScalingPolicies',
      'application-autoscaling:DescribeScheduledActions',
      'application-autoscaling:ListTagsForResource',
      'aps:DescribeAlertManagerDefinition',
      'aps:DescribeLoggingConfiguration',
      'aps:DescribeRuleGroupsNamespace',
      'aps:DescribeWorkspace',
      'aps:ListTagsForResource',
      'budgets:ListTagsForResource',
      'budgets:ViewBudget',
      'cloudwatch:DescribeAlarms',
      'cloudwatch:GetDashboard',
      'cloudwatch:ListTagsForResource',
      'ecr:DescribeRepositories',
      'ecr:GetLifecyclePolicy',
      'ecr:GetRepositoryPolicy',
      'ecr:ListTagsForResource',
      'ec2:DescribeAddressesAttribute',
      'ecs:DescribeClusters',
      'ecs:DescribeServices',
      'ecs:DescribeTaskDefinition',
      'elasticfilesystem:DescribeAccessPoints',
      'elasticfilesystem:DescribeFileSystemPolicy',
      'elasticfilesystem:DescribeBackupPolicy',
      'elasticfilesystem:DescribeLifecycleConfiguration',
      'elasticfilesystem:DescribeMountTargets',
      'elasticfilesystem:DescribeMountTargetSecurityGroups',
      'elasticloadbalancing:DescribeCapacityReservation',
      'elasticloadbalancing:DescribeListenerAttributes',
      'elasticloadbalancing:DescribeTags',
      'elasticloadbalancing:DescribeTargetGroupAttributes',
      'iam:GetOpenIDConnectProvider',
      'iam:GetPolicy',
      'iam:GetPolicyVersion',
      'iam:GetRole',
      'iam:GetRolePolicy',
      'kafka:DescribeCluster',
      'kafka:DescribeClusterV2',
      'kafka:DescribeConfiguration',
      'kafka:DescribeConfigurationRevision',
      'kafka:GetBootstrapBrokers',
      'kms:DescribeKey',
      'kms:GetKeyPolicy',
      'kms:GetKeyRotationStatus',
      'kms:ListAliases',
      'kms:ListResourceTags',
      'logs:ListTagsForResource',
      'route53:GetHostedZone',
      'route53:ListResourceRecordSets',
      's3:GetAccelerateConfiguration',
      's3:GetBucket*',
      's3:GetEncryptionConfiguration',
      's3:GetLifecycleConfiguration',
      's3:GetReplicationConfiguration',
      's3:ListTagsForResource',
      'secretsmanager:DescribeSecret',
      'secretsmanager:GetRandomPassword',
      'secretsmanager:GetResourcePolicy',
      'secretsmanager:ListSecretVersionIds',
      'sns:GetSubscriptionAttributes',
      'sns:GetTopicAttributes',
      'sns:ListTagsForResource',
      'ssm:DescribeParameters',
      'ssm:ListTagsForResource',
      'wafv2:GetLoggingConfiguration',
      'wafv2:GetWebACL',
      'wafv2:GetWebACLForResource',
      'wafv2:ListTagsForResource',
    ],
    Resource: '*',
  },
]

/** Actions that the roles of tasks, flow logs and alerts use; a role can never do more than its boundary. */
export const BOUNDARY: readonly Statement[] = [
  {
    Sid: 'WhatMillraceRolesDo',
    Action: [
      'aps:GetLabels',
      'aps:GetMetricMetadata',
      'aps:GetSeries',
      'aps:ListWorkspaces',
      'aps:QueryMetrics',
      'aps:RemoteWrite',
      'ecr:BatchCheckLayerAvailability',
      'ecr:BatchGetImage',
      'ecr:GetAuthorizationToken',
      'ecr:GetDownloadUrlForLayer',
      'elasticfilesystem:ClientMount',
      'elasticfilesystem:ClientWrite',
      'kafka-cluster:AlterGroup',
      'kafka-cluster:Connect',
      'kafka-cluster:CreateTopic',
      'kafka-cluster:DescribeCluster',
      'kafka-cluster:DescribeGroup',
      'kafka-cluster:DescribeTopic',
      'kafka-cluster:DescribeTopicDynamicConfiguration',
      'kafka-cluster:ReadData',
      'kafka-cluster:WriteData',
      'kafka-cluster:WriteDataIdempotently',
      'kms:Decrypt',
      'kms:GenerateDataKey',
      'logs:CreateLogStream',
      'logs:DescribeLogStreams',
      'logs:PutLogEvents',
      's3:AbortMultipartUpload',
      's3:GetObject',
      's3:ListBucket',
      's3:PutObject',
      'secretsmanager:GetSecretValue',
      'sns:Publish',
      'ssm:GetParameters',
    ],
    Resource: '*', // a limit on actions: each role's own policy names its resources
  },
]
