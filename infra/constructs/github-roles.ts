/**
 * What GitHub Actions may do, without a stored key: OpenID Connect, and one role for each step.
 *
 *     pull request, main ─▶ plan role: reads, saves plans    main, after approval ─▶ apply role: changes
 *     release      ─▶ push role: one image repository
 *
 * Source of the subjects: https://docs.github.com/actions/security-for-github-actions/security-hardening-your-deployments/about-security-hardening-with-openid-connect
 */
import { IamOpenidConnectProvider } from '@cdktf/provider-aws/lib/iam-openid-connect-provider/index.js'
import { IamPolicy } from '@cdktf/provider-aws/lib/iam-policy/index.js'
import { IamRole } from '@cdktf/provider-aws/lib/iam-role/index.js'
import { IamRolePolicy } from '@cdktf/provider-aws/lib/iam-role-policy/index.js'
import { IamRolePolicyAttachment } from '@cdktf/provider-aws/lib/iam-role-policy-attachment/index.js'
import { Construct } from 'constructs'
import type { Account } from '../environment.ts'
import { githubRoleArn, githubRoleName, PLANS_PREFIX } from '../names.ts'
import { policy } from '../policy.ts'
import { BOUNDARY_POLICY } from './service-role.ts'

export interface GithubRolesOptions {
  readonly account: Account
  readonly stateBucketArn: string
  readonly stateKeyArn: string
  readonly repositoryArn: string
}

const ISSUER = 'token.actions.githubusercontent.com'
const AUDIENCE = 'sts.amazonaws.com'
const MAX_SESSION_SECONDS = 2 * 60 * 60

export class GithubRoles extends Construct {
  readonly planRoleArn: string
  readonly applyRoleArn: string
  readonly pushRoleArn: string
  readonly #account: Account
  readonly #provider: IamOpenidConnectProvider

  constructor(scope: Construct, id: string, options: GithubRolesOptions) {
    super(scope, id)
    const { account, stateBucketArn, stateKeyArn, repositoryArn } = options
    this.#account = account
    this.#provider = new IamOpenidConnectProvider(this, 'provider', {
      url: `https://${ISSUER}`,
      clientIdList: [AUDIENCE],
    })
    const state = policy(
      { Action: ['s3:ListBucket', 's3:GetBucketVersioning'], Resource: stateBucketArn },
      { Action: ['s3:GetObject'], Resource: `${stateBucketArn}/*` },
      { Action: ['s3:PutObject', 's3:DeleteObject'], Resource: `${stateBucketArn}/*.tflock` },
      { Action: 's3:PutObject', Resource: `${stateBucketArn}/${PLANS_PREFIX}*` }, // their names prove their content
      { Action: ['kms:Decrypt', 'kms:GenerateDataKey'], Resource: stateKeyArn },
    )

    const plan = this.#role('plan', ['pull_request', 'ref:refs/heads/main'])
    this.planRoleArn = plan.arn
    // Terraform refreshes every resource it manages; reading is all this can do, and no data: not objects, not secrets.
    new IamRolePolicyAttachment(this, 'plan-reads', {
      role: plan.name,
      policyArn: 'arn:aws:iam::aws:policy/job-function/ViewOnlyAccess',
    })
    new IamRolePolicy(this, 'plan-state', { role: plan.id, policy: state })
    const collectors = `arn:aws:ssm:*:${account.id}:parameter/millrace/*/collector`
    new IamRolePolicy(this, 'plan-refresh', {
      role: plan.id,
      policy: policy(...REFRESH, { Action: 'ssm:GetParameter', Resource: collectors }),
    })

    const apply = this.#role(
      'apply',
      ['dev', 'staging', 'prod'].map((name) => `environment:${name}`),
    )
    this.applyRoleArn = apply.arn
    const boundary = new IamPolicy(this, 'boundary', {
      name: BOUNDARY_POLICY,
      description: 'The most that any role made by the apply role can ever do',
      policy: policy(...BOUNDARY),
    })
    // Everything but IAM, organisations and the account itself; below, IAM for roles named millrace-* alone.
    new IamRolePolicyAttachment(this, 'apply-services', {
      role: apply.name,
      policyArn: 'arn:aws:iam::aws:policy/PowerUserAccess',
    })
    const roles = `arn:aws:iam::${account.id}:role/millrace-*`
    const bounded = { StringEquals: { 'iam:PermissionsBoundary': boundary.arn } }
    new IamRolePolicy(this, 'apply-roles', {
      role: apply.id,
      policy: policy(
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
              'iam:PassedToService': [
                'ecs-tasks.amazonaws.com',
                'vpc-flow-logs.amazonaws.com',
                'grafana.amazonaws.com',
              ],
            },
          },
        },
        {
          Sid: 'NotItsOwnLimits',
          Effect: 'Deny',
          Action: [
            'iam:CreateRole',
            'iam:PutRolePolicy',
            'iam:AttachRolePolicy',
            'iam:UpdateAssumeRolePolicy',
            'iam:DeleteRole',
          ],
          Resource: (['plan', 'apply', 'push'] as const).map((name) => githubRoleArn(account, name)),
        },
      ),
    })

    const push = this.#role('push', ['environment:release'])
    this.pushRoleArn = push.arn
    new IamRolePolicy(this, 'push-images', {
      role: push.id,
      policy: policy(
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
        { Action: ['kms:Decrypt', 'kms:GenerateDataKey'], Resource: stateKeyArn },
      ),
    })
  }

  /** A role for workflows of our repository in one of the given situations, both forms of the subject taken exactly. */
  #role(name: 'plan' | 'apply' | 'push', situations: readonly string[]): IamRole {
    const { owner, repository, ownerId, repositoryId } = this.#account.github
    const repositories = [`${owner}/${repository}`]
    if (ownerId !== undefined) repositories.push(`${owner}@${ownerId}/${repository}@${repositoryId}`)
    const subjects = situations.flatMap((situation) => repositories.map((full) => `repo:${full}:${situation}`))
    return new IamRole(this, name, {
      name: githubRoleName(name),
      description: `GitHub Actions of ${owner}/${repository}: ${name}`,
      maxSessionDuration: MAX_SESSION_SECONDS,
      assumeRolePolicy: JSON.stringify({
        Version: '2012-10-17',
        Statement: [
          {
            Effect: 'Allow',
            Principal: { Federated: this.#provider.arn },
            Action: 'sts:AssumeRoleWithWebIdentity',
            Condition: { StringEquals: { [`${ISSUER}:aud`]: AUDIENCE, [`${ISSUER}:sub`]: subjects } },
          },
        ],
      }),
    })
  }
}

/** What a refresh reads beyond ViewOnlyAccess. These calls take no narrower resource, or names not known before. */
const REFRESH = [
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
      'ecr:ListTagsForResource',
      'ecs:DescribeClusters',
      'ecs:DescribeServices',
      'ecs:DescribeTaskDefinition',
      'elasticfilesystem:DescribeAccessPoints',
      'elasticfilesystem:DescribeFileSystemPolicy',
      'elasticfilesystem:DescribeBackupPolicy',
      'elasticfilesystem:DescribeLifecycleConfiguration',
      'elasticfilesystem:DescribeMountTargets',
      'elasticfilesystem:DescribeMountTargetSecurityGroups',
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
      'secretsmanager:DescribeSecret',
      'secretsmanager:GetRandomPassword',
      'secretsmanager:GetResourcePolicy',
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
const BOUNDARY = [
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
      'logs:DescribeLogGroups',
      'logs:DescribeLogStreams',
      'logs:PutLogEvents',
      's3:AbortMultipartUpload',
      's3:GetObject',
      's3:ListBucket',
      's3:PutObject',
      'secretsmanager:GetSecretValue',
      'sns:Publish',
      'ssm:GetParameters',
      'ssmmessages:CreateControlChannel',
      'ssmmessages:CreateDataChannel',
      'ssmmessages:OpenControlChannel',
      'ssmmessages:OpenDataChannel',
    ],
    Resource: '*', // a limit on actions: each role's own policy names its resources
  },
]
