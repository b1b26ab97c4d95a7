/** A service that delivers, its alarms and its collector, in a cdktf app of your own: your network, cluster, topic and names. */
import { AwsProvider } from '@cdktf/provider-aws/lib/provider/index.js'
import { App, TerraformStack } from 'cdktf'
import { addCollector, addServiceAlarms, FargateService } from 'millrace/infra'

const account = { id: '111122223333', region: 'eu-central-1' }
const arn = (service: string, name: string) => `arn:aws:${service}:${account.region}:${account.id}:${name}`
const workspace = 'workspace/ws-01234567-89ab-cdef-0123-456789abcdef'

const app = new App()
const stack = new TerraformStack(app, 'shop-events')
new AwsProvider(stack, 'aws', { region: account.region, allowedAccountIds: [account.id] })
const collectorVersion = addCollector(stack, {
  region: account.region,
  remoteWriteUrl: `https://aps-workspaces.${account.region}.amazonaws.com/${workspace}/api/v1/remote_write`,
  environment: 'shop',
})
new FargateService(stack, 'deliver', {
  account,
  environment: { name: 'shop', spotShare: 0.5, logRetentionDays: 30 },
  role: 'deliver',
  tasks: { cpu: 512, memoryMiB: 1024, minTasks: 2, maxTasks: 2 },
  image: `ghcr.io/example/millrace@sha256:${'a'.repeat(64)}`,
  repositoryArn: arn('ecr', 'repository/millrace'),
  network: { vpcId: 'vpc-0123abcd', privateSubnetIds: ['subnet-0000000a', 'subnet-0000000b'] },
  cluster: { name: 'millrace-shop', arn: arn('ecs', 'cluster/millrace-shop') },
  variables: { ROLE: 'deliver', ENVIRONMENT: 'shop', LOG_ENGINE: 'kafka', KAFKA_BROKERS: 'b:9096', SINKS: 'postgres' },
  secrets: { POSTGRES_SINK_URL: arn('ssm', 'parameter/shop/database') },
  startPermissions: [{ Action: 'ssm:GetParameters', Resource: arn('ssm', 'parameter/shop/database') }],
  connectsTo: [{ securityGroupId: 'sg-0123abcd', port: 9096, what: 'kafka' }],
  egress: [{ what: 'postgres', to: { cidr: '10.0.0.0/16' }, port: 5432 }],
  kmsKeyArn: arn('kms', 'key/01234567-89ab-cdef-0123-456789abcdef'),
  workspaceArn: arn('aps', workspace),
  collectorVersion,
  permissionsBoundary: 'none',
})
addServiceAlarms(stack, { environment: 'shop', role: 'deliver', minTasks: 2, topicArn: arn('sns', 'on-call') })
app.synth()
