/**
 * What IAM judges of an operation: its actions, each with its resource and its condition keys.
 * https://docs.aws.amazon.com/service-authorization/latest/reference/ has them a service.
 */
import type { Call, PolicyDocument } from './evaluate.ts'
import type { Operation } from './operations.ts'

/** Of the account, as it is now. Undefined: there is none of that name. */
export interface Account {
  readonly id: string
  role(name: string): Promise<{ readonly arn: string; readonly boundaryArn: string | null } | undefined>
  bucket(name: string): Promise<{ readonly key: string | null } | undefined>
  key(id: string, region: string): Promise<{ readonly arn: string; readonly policy: PolicyDocument } | undefined>
  secret(id: string, region: string): Promise<{ readonly arn: string; readonly key: string | null } | undefined>
  /** Of an ARN, or an id of EC2. */
  tags(id: string, region: string): Promise<Readonly<Record<string, string>> | undefined>
}

/** A call whose resource is not worked out here: a policy that names resources for it cannot be judged. */
export const UNNAMED = 'arn:aws:unnamed:::unnamed'

/** Where the action is not named like the operation. S3's come from before the others. */
const ACTIONS: Readonly<Record<string, string | readonly string[]>> = {
  'budgets:CreateBudget': 'budgets:ModifyBudget',
  'budgets:CreateNotification': 'budgets:ModifyBudget',
  'budgets:DeleteBudget': 'budgets:ModifyBudget',
  'budgets:DeleteNotification': 'budgets:ModifyBudget',
  'budgets:DescribeBudget': 'budgets:ViewBudget',
  'budgets:DescribeNotificationsForBudget': 'budgets:ViewBudget',
  'budgets:DescribeSubscribersForNotification': 'budgets:ViewBudget',
  'budgets:UpdateBudget': 'budgets:ModifyBudget',
  'budgets:UpdateNotification': 'budgets:ModifyBudget',
  'ecr:BatchCheckLayerAvailability': 'ecr:BatchCheckLayerAvailability',
  's3:CompleteMultipartUpload': 's3:PutObject',
  's3:CopyObject': 's3:PutObject',
  's3:CreateMultipartUpload': 's3:PutObject',
  's3:DeleteBucketEncryption': 's3:PutEncryptionConfiguration',
  's3:DeleteBucketLifecycle': 's3:PutLifecycleConfiguration',
  's3:DeleteBucketOwnershipControls': 's3:PutBucketOwnershipControls',
  's3:DeleteBucketTagging': 's3:PutBucketTagging',
  's3:DeleteObjects': 's3:DeleteObject',
  's3:DeletePublicAccessBlock': 's3:PutBucketPublicAccessBlock',
  's3:GetBucketAccelerateConfiguration': 's3:GetAccelerateConfiguration',
  's3:GetBucketCors': 's3:GetBucketCORS',
  's3:GetBucketEncryption': 's3:GetEncryptionConfiguration',
  's3:GetBucketLifecycleConfiguration': 's3:GetLifecycleConfiguration',
  's3:GetBucketReplication': 's3:GetReplicationConfiguration',
  's3:GetObjectLockConfiguration': 's3:GetBucketObjectLockConfiguration',
  's3:GetPublicAccessBlock': 's3:GetBucketPublicAccessBlock',
  's3:HeadBucket': 's3:ListBucket',
  's3:HeadObject': 's3:GetObject',
  's3:ListBuckets': 's3:ListAllMyBuckets',
  's3:ListObjects': 's3:ListBucket',
  's3:ListObjectsV2': 's3:ListBucket',
  's3:ListObjectVersions': 's3:ListBucketVersions',
  's3:PutBucketEncryption': 's3:PutEncryptionConfiguration',
  's3:PutBucketLifecycleConfiguration': 's3:PutLifecycleConfiguration',
  's3:PutPublicAccessBlock': 's3:PutBucketPublicAccessBlock',
  's3:UploadPart': 's3:PutObject',
}

/** Services that a role is handed to by an operation, and the parameters that name it. */
const PASSES: Readonly<Record<string, { readonly to: string; readonly parameters: readonly string[] }>> = {
  'ec2:CreateFlowLogs': { to: 'vpc-flow-logs.amazonaws.com', parameters: ['DeliverLogsPermissionArn'] },
  'ecs:RegisterTaskDefinition': { to: 'ecs-tasks.amazonaws.com', parameters: ['taskRoleArn', 'executionRoleArn'] },
  'grafana:CreateWorkspace': { to: 'grafana.amazonaws.com', parameters: ['workspaceRoleArn'] },
  'grafana:UpdateWorkspace': { to: 'grafana.amazonaws.com', parameters: ['workspaceRoleArn'] },
}

/** Tags that come with what is created need the right to tag, too. */
const TAGS: Readonly<Record<string, string>> = {
  'ec2:': 'ec2:CreateTags',
  'ecs:': 'ecs:TagResource',
  'iam:CreateOpenIDConnectProvider': 'iam:TagOpenIDConnectProvider',
  'iam:CreatePolicy': 'iam:TagPolicy',
  'iam:CreateRole': 'iam:TagRole',
  'kms:CreateKey': 'kms:TagResource',
  'logs:CreateLogGroup': 'logs:TagResource',
  'secretsmanager:CreateSecret': 'secretsmanager:TagResource',
  'sns:CreateTopic': 'sns:TagResource',
}

/** All of them must be allowed. */
export async function callsOf(operation: Operation, account: Account): Promise<Call[]> {
  const { prefix, name, parameters } = operation
  const full = `${prefix}:${name}`
  const resource = await resourceOf(operation, account)
  const context = await contextOf(operation, account)
  const tags = await tagsOf(operation, resource, account)
  const action = versioned(many(ACTIONS[full] ?? full)[0] ?? full, parameters)
  const calls: Call[] = tags.map((each) => ({ action, resource, context: { ...context, ...each } }))
  if (full === 's3:CopyObject') {
    const source = decodeURIComponent(String(parameters.CopySource)).replace(/^\//, '')
    calls.push({ action: 's3:GetObject', resource: `arn:aws:s3:::${source}`, context })
  }
  const passed = PASSES[full]
  for (const parameter of passed?.parameters ?? []) {
    const role = parameters[parameter]
    if (role === undefined || passed === undefined) continue
    const passing = { ...context, 'iam:PassedToService': passed.to }
    calls.push({ action: 'iam:PassRole', resource: String(role), context: passing })
  }
  const tagging =
    TAGS[full] ?? (name.startsWith('Create') || name.startsWith('Register') ? TAGS[`${prefix}:`] : undefined)
  if (tagging !== undefined && tagging !== action && hasTags(parameters))
    calls.push({ action: tagging, resource, context })
  calls.push(...(await encryptionCalls(operation, account)))
  return calls
}

function versioned(action: string, { VersionId, versionId }: Operation['parameters']): string {
  const isVersion = (VersionId ?? versionId) !== undefined
  return isVersion && /^s3:(Get|Delete)Object$/.test(action) ? `${action}Version` : action
}

/** Condition keys with the tags of each thing that it is about; one set without any for what has none. */
async function tagsOf(operation: Operation, resource: string, account: Account): Promise<Record<string, string>[]> {
  const { prefix, name, parameters, region } = operation
  if (prefix === 'ec2' && name.startsWith('Describe')) return [{}] // for these AWS looks at no tags
  const ids = new Set(Object.values(parameters).filter((value) => typeof value === 'string' && IDENTIFIER.test(value)))
  if (resource !== UNNAMED && resource !== '*') ids.add(resource)
  if (prefix === 'ecs' && parameters.service !== undefined) {
    const service = `${String(parameters.cluster).split('/').at(-1)}/${String(parameters.service).split('/').at(-1)}`
    ids.add(`arn:aws:ecs:${region}:${account.id}:service/${service}`)
  }
  const found = new Map<string, Record<string, string>>()
  for (const id of ids) {
    const tags = Object.entries((await account.tags(String(id), region)) ?? {})
    const context = Object.fromEntries(tags.map(([key, value]) => [`aws:ResourceTag/${key}`, value]))
    found.set(JSON.stringify(context), context)
  }
  return found.size === 0 ? [{}] : [...found.values()]
}

const IDENTIFIER = /^(arn:aws:.+|(vpc|subnet|sg|sgr|nat|igw|rtb|eipalloc|vpce|fl|acl|eni)-[0-9a-f]+)$/

function hasTags(parameters: Operation['parameters']): boolean {
  return Object.entries(parameters).some(
    ([name, value]) => /^tags?/i.test(name) && (!Array.isArray(value) || value.length > 0),
  )
}

/** What the service does with a key in the name of the caller. */
async function encryptionCalls(operation: Operation, account: Account): Promise<Call[]> {
  const { prefix, name, parameters, region } = operation
  const needed = ENCRYPTING[`${prefix}:${name}`]
  if (needed === undefined) return []
  const id =
    prefix === 's3'
      ? (parameters.SSEKMSKeyId ?? (await account.bucket(String(parameters.Bucket)))?.key)
      : (parameters.KmsKeyId ?? (await account.secret(String(parameters.SecretId), region))?.key)
  if (id === undefined || id === null) return [] // a key of the service's own
  const resource = (await account.key(String(id), region))?.arn ?? String(id)
  const context = { ...global(operation, account), 'kms:ViaService': `${prefix}.${region}.amazonaws.com` }
  return needed.map((action) => ({ action, resource, context }))
}

const ENCRYPTING: Readonly<Record<string, readonly string[]>> = {
  's3:CompleteMultipartUpload': ['kms:Decrypt'],
  's3:CopyObject': ['kms:GenerateDataKey', 'kms:Decrypt'],
  's3:CreateMultipartUpload': ['kms:GenerateDataKey'],
  's3:GetObject': ['kms:Decrypt'],
  's3:PutObject': ['kms:GenerateDataKey'],
  's3:UploadPart': ['kms:GenerateDataKey'],
  'secretsmanager:CreateSecret': ['kms:GenerateDataKey', 'kms:Decrypt'],
  'secretsmanager:GetSecretValue': ['kms:Decrypt'],
  'secretsmanager:PutSecretValue': ['kms:GenerateDataKey', 'kms:Decrypt'],
}

function global({ region }: Operation, { id }: Account): Record<string, string> {
  // The emulated AWS speaks no TLS, the real one nothing else.
  return {
    'aws:SecureTransport': 'true',
    'aws:RequestedRegion': region,
    'aws:PrincipalAccount': id,
    'aws:ResourceAccount': id,
  }
}

async function contextOf(operation: Operation, account: Account): Promise<Record<string, string>> {
  const { prefix, name, parameters } = operation
  const context = global(operation, account)
  if (prefix !== 'iam') return context
  // A role that is made, or gets a boundary: the one it will have. Else the one it has.
  const given = parameters.PermissionsBoundary
  const isNew = name === 'CreateRole' || name === 'PutRolePermissionsBoundary'
  const role = parameters.RoleName === undefined || isNew ? undefined : await account.role(String(parameters.RoleName))
  const boundary = isNew ? given : role?.boundaryArn
  if (boundary) context['iam:PermissionsBoundary'] = String(boundary)
  if (parameters.PolicyArn !== undefined) context['iam:PolicyARN'] = String(parameters.PolicyArn)
  return context
}

/** @returns UNNAMED where it makes no difference to any policy here. */
async function resourceOf(operation: Operation, account: Account): Promise<string> {
  const { prefix, parameters: given, region } = operation
  const { id } = account
  const at = (text: unknown) => (String(text).startsWith('arn:') ? String(text) : undefined)
  switch (prefix) {
    case 's3':
      if (given.Bucket === undefined) return '*'
      return `arn:aws:s3:::${given.Bucket}${given.Key === undefined ? deleted(operation) : `/${given.Key}`}`
    case 'iam':
      if (given.RoleName !== undefined) return `arn:aws:iam::${id}:role/${given.RoleName}`
      if (given.PolicyName !== undefined) return `arn:aws:iam::${id}:policy/${given.PolicyName}`
      return at(given.PolicyArn ?? given.OpenIDConnectProviderArn) ?? '*'
    case 'kms': {
      const key = given.KeyId ?? given.TargetKeyId ?? given.ResourceArn
      return key === undefined ? '*' : ((await account.key(String(key), region))?.arn ?? String(key))
    }
    case 'secretsmanager': {
      const secret = given.SecretId ?? given.Name
      if (secret === undefined) return '*'
      // AWS adds six characters to the name.
      const unknown = at(secret) ?? `arn:aws:secretsmanager:${region}:${id}:secret:${secret}-AbCdEf`
      return (await account.secret(String(secret), region))?.arn ?? unknown
    }
    case 'ssm': {
      const parameter = given.Name ?? (given.Names as string[] | undefined)?.[0] ?? given.ResourceId
      return parameter === undefined
        ? '*'
        : `arn:aws:ssm:${region}:${id}:parameter/${String(parameter).replace(/^\//, '')}`
    }
    case 'ecr':
      if (given.repositoryName !== undefined) return `arn:aws:ecr:${region}:${id}:repository/${given.repositoryName}`
      return at(given.resourceArn) ?? '*'
    case 'sts':
      return at(given.RoleArn) ?? '*'
    default:
      return UNNAMED
  }
}

/** DeleteObjects names keys in its body; one stands for all, as they are of one prefix here. */
function deleted({ name, parameters: { body } }: Operation): string {
  if (name !== 'DeleteObjects') return ''
  const [, key] = /<Key>([^<]+)<\/Key>/.exec(String(body ?? '')) ?? []
  return key === undefined ? '' : `/${key}`
}

function many(value: string | readonly string[]): readonly string[] {
  return typeof value === 'string' ? [value] : value
}
