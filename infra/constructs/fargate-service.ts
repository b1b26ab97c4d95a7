/**
 * One service on Fargate with everything that belongs to it: its task, roles, logs, security group, and collector.
 *
 *     task = app (essential) + collector (not essential: metrics may fail, events may not)
 */
import { CloudwatchLogGroup } from '@cdktf/provider-aws/lib/cloudwatch-log-group/index.js'
import { EcsService } from '@cdktf/provider-aws/lib/ecs-service/index.js'
import { EcsTaskDefinition } from '@cdktf/provider-aws/lib/ecs-task-definition/index.js'
import { SecurityGroup } from '@cdktf/provider-aws/lib/security-group/index.js'
import { VpcSecurityGroupEgressRule } from '@cdktf/provider-aws/lib/vpc-security-group-egress-rule/index.js'
import { VpcSecurityGroupIngressRule } from '@cdktf/provider-aws/lib/vpc-security-group-ingress-rule/index.js'
import { Construct, type IDependable } from 'constructs'
import type { Environment, ExistingNetwork } from '../environment.ts'
import { collectorParameter, prefix } from '../names.ts'
import type { Statement } from '../policy.ts'
import type { Egress } from '../sinks.ts'
import { type ContainersOptions, containerDefinitions } from './containers.ts'
import type { LogVolume } from './log-volume.ts'
import { ServiceRole } from './service-role.ts'

/** What tasks run on, and what an image must be built for: as ECS names it, and as OCI does. */
const CPU_ARCHITECTURE = 'ARM64'
export const PLATFORM = 'linux/arm64'
/** With the bake time of its alarms. Longer, and a deployment that hangs keeps the pipeline. */
const STEADY_WITHIN = '30m'

export interface FargateServiceOptions extends Omit<ContainersOptions, 'behind'> {
  readonly environment: Pick<Environment, 'name' | 'spotShare' | 'logRetentionDays'>
  /** Policy that limits its roles. Default: the one that bootstrap makes. `none`: roles of an account without bootstrap. */
  readonly permissionsBoundary?: 'bootstrap' | 'none'
  readonly network: Omit<ExistingNetwork, 'publicSubnetIds'>
  readonly kmsKeyArn: string
  readonly cluster: { readonly name: string; readonly arn: string }
  readonly repositoryArn: string
  /** What the app itself may do in AWS. */
  readonly permissions?: readonly Statement[]
  /** Where metrics go. */
  readonly workspaceArn: string
  /** Behind the load balancer: only it may connect. */
  readonly behind?: { readonly securityGroupId: string; readonly targetGroupArn: string; readonly port: number }
  /** Other security groups that the tasks connect to, with the port. */
  readonly connectsTo?: readonly { readonly securityGroupId: string; readonly port: number; readonly what: string }[]
  /** Other places, which let the tasks in by rules of their own. */
  readonly egress?: readonly Egress[]
  /** What ECS may read, besides the configuration of the collector, to start a task: the values of `secrets`. */
  readonly startPermissions?: readonly Statement[]
  /** Alarms that roll a deployment back. */
  readonly rollbackAlarms?: readonly string[]
  readonly dependsOn?: readonly IDependable[]
}

export class FargateService extends Construct {
  readonly name: string
  readonly securityGroupId: string
  readonly service: EcsService
  readonly #options: FargateServiceOptions

  constructor(scope: Construct, id: string, options: FargateServiceOptions) {
    super(scope, id)
    this.#options = options
    const { environment, role, tasks, cluster, volume, behind, rollbackAlarms = [], dependsOn = [] } = options
    this.name = role
    this.securityGroupId = this.#securityGroup()
    const [execution, task] = this.#roles()
    const definition = this.#definition(execution.arn, task.arn)
    const onSpot = Math.round(environment.spotShare * 100)
    // One task at a time owns the embedded log: the old one stops before the new one starts.
    const alone = volume !== undefined
    this.service = new EcsService(this, 'service', {
      name: role,
      cluster: cluster.arn,
      taskDefinition: definition.arn,
      desiredCount: tasks.minTasks,
      platformVersion: '1.4.0',
      capacityProviderStrategy: [
        ...(onSpot < 100 ? [{ capacityProvider: 'FARGATE', weight: 100 - onSpot, base: 1 }] : []),
        ...(onSpot > 0 ? [{ capacityProvider: 'FARGATE_SPOT', weight: onSpot }] : []),
      ],
      networkConfiguration: {
        subnets: [...options.network.privateSubnetIds],
        securityGroups: [this.securityGroupId],
        assignPublicIp: false,
      },
      ...(behind && {
        loadBalancer: [{ targetGroupArn: behind.targetGroupArn, containerName: 'app', containerPort: behind.port }],
        healthCheckGracePeriodSeconds: 60,
      }),
      deploymentMinimumHealthyPercent: alone ? 0 : 100,
      deploymentMaximumPercent: alone ? 100 : 200,
      deploymentCircuitBreaker: { enable: true, rollback: true },
      ...(rollbackAlarms.length > 0 && { alarms: { alarmNames: [...rollbackAlarms], enable: true, rollback: true } }),
      enableEcsManagedTags: true,
      // A zone that was lost and is back gets tasks again; what may not run twice cannot be moved that way.
      availabilityZoneRebalancing: alone ? 'DISABLED' : 'ENABLED',
      propagateTags: 'SERVICE',
      // ECS says "steady" after a rollback, too: then it runs what it ran before, and this deployment has failed.
      waitForSteadyState: true,
      timeouts: { create: STEADY_WITHIN, update: STEADY_WITHIN },
      lifecycle: {
        ignoreChanges: ['desired_count'], // autoscaling owns it
        postcondition: [
          {
            condition: `\${self.task_definition == ${definition.fqn}.arn}`,
            errorMessage: `${role} was rolled back: it runs what it ran before. See the events of the service in ECS, and docs/runbooks/deploy.md.`,
          },
        ],
      },
      dependsOn: [execution.permissions, task.permissions, ...dependsOn] as never,
    })
  }

  #definition(executionRoleArn: string, taskRoleArn: string): EcsTaskDefinition {
    const { environment, role, tasks, volume } = this.#options
    const volumes = volume
      ? [
          {
            name: 'data',
            efsVolumeConfiguration: {
              fileSystemId: volume.fileSystemId,
              transitEncryption: 'ENABLED',
              authorizationConfig: { accessPointId: volume.accessPointId, iam: 'ENABLED' },
            },
          },
        ]
      : []
    return new EcsTaskDefinition(this, 'task', {
      family: `${prefix(environment)}-${role}`,
      requiresCompatibilities: ['FARGATE'],
      networkMode: 'awsvpc',
      runtimePlatform: { cpuArchitecture: CPU_ARCHITECTURE, operatingSystemFamily: 'LINUX' },
      cpu: String(tasks.cpu),
      memory: String(tasks.memoryMiB),
      executionRoleArn,
      taskRoleArn,
      containerDefinitions: containerDefinitions(this.#options),
      volume: volumes,
      skipDestroy: true, // a rollback needs the revision before this one
    })
  }

  #securityGroup(): string {
    const { environment, role, network, behind, connectsTo = [], egress = [] } = this.#options
    const group = new SecurityGroup(this, 'group', {
      vpcId: network.vpcId,
      namePrefix: `${prefix(environment)}-${role}-`,
      description: `Tasks of ${role}`,
      tags: { Name: `${prefix(environment)}-${role}` },
      lifecycle: { createBeforeDestroy: true },
    })
    new VpcSecurityGroupEgressRule(this, 'to-https', {
      securityGroupId: group.id,
      description: 'HTTPS: AWS services, webhooks',
      cidrIpv4: '0.0.0.0/0',
      ipProtocol: 'tcp',
      fromPort: 443,
      toPort: 443,
    })
    if (behind) {
      new VpcSecurityGroupIngressRule(this, 'from-balancer', {
        securityGroupId: group.id,
        description: 'Events from the load balancer',
        referencedSecurityGroupId: behind.securityGroupId,
        ipProtocol: 'tcp',
        fromPort: behind.port,
        toPort: behind.port,
      })
    }
    for (const { securityGroupId, port, what } of connectsTo) {
      const ports = { ipProtocol: 'tcp', fromPort: port, toPort: port }
      new VpcSecurityGroupEgressRule(this, `to-${what}`, {
        securityGroupId: group.id,
        description: `To ${what}`,
        referencedSecurityGroupId: securityGroupId,
        ...ports,
      })
      new VpcSecurityGroupIngressRule(this, `${what}-from-${role}`, {
        securityGroupId,
        description: `From the tasks of ${role}`,
        referencedSecurityGroupId: group.id,
        ...ports,
      })
    }
    for (const { what, to, port } of egress) {
      new VpcSecurityGroupEgressRule(this, `to-${what}`, {
        securityGroupId: group.id,
        description: `To ${what}`,
        ...('cidr' in to ? { cidrIpv4: to.cidr } : { referencedSecurityGroupId: to.securityGroupId }),
        ipProtocol: 'tcp',
        fromPort: port,
        toPort: port,
      })
    }
    return group.id
  }

  /** The first starts containers, the second is what the app runs as: neither can do the other's part. */
  #roles(): [ServiceRole, ServiceRole] {
    const {
      account,
      environment,
      role,
      kmsKeyArn,
      repositoryArn,
      startPermissions = [],
      permissions = [],
      workspaceArn,
      volume,
      permissionsBoundary = 'bootstrap',
    } = this.#options
    const { region, id } = account
    const name = `${prefix(environment)}-${role}`
    const logGroup = new CloudwatchLogGroup(this, 'log', {
      name: `/millrace/${environment.name}/${role}`,
      retentionInDays: environment.logRetentionDays,
      kmsKeyId: kmsKeyArn,
    })
    const execution = new ServiceRole(this, 'execution-role', {
      name: `${name}-execution`,
      account,
      service: 'ecs-tasks.amazonaws.com',
      permissionsBoundary,
      statements: [
        { Action: 'ecr:GetAuthorizationToken', Resource: '*' }, // AWS has no narrower one: a token is for the registry
        {
          Action: ['ecr:BatchCheckLayerAvailability', 'ecr:BatchGetImage', 'ecr:GetDownloadUrlForLayer'],
          Resource: repositoryArn,
        },
        { Action: ['logs:CreateLogStream', 'logs:PutLogEvents'], Resource: `${logGroup.arn}:*` },
        {
          Action: 'ssm:GetParameters',
          Resource: `arn:aws:ssm:${region}:${id}:parameter${collectorParameter(environment)}`,
        },
        ...startPermissions,
        { Action: 'kms:Decrypt', Resource: kmsKeyArn },
      ],
    })
    const task = new ServiceRole(this, 'task-role', {
      name: `${name}-task`,
      account,
      service: 'ecs-tasks.amazonaws.com',
      permissionsBoundary,
      statements: [
        { Sid: 'Metrics', Action: 'aps:RemoteWrite', Resource: workspaceArn },
        ...(volume ? [mountStatement(volume)] : []),
        ...permissions,
      ],
    })
    return [execution, task]
  }
}

function mountStatement({ fileSystemArn, accessPointArn }: LogVolume): Statement {
  return {
    Sid: 'Log',
    Action: ['elasticfilesystem:ClientMount', 'elasticfilesystem:ClientWrite'],
    Resource: fileSystemArn,
    Condition: { StringEquals: { 'elasticfilesystem:AccessPointArn': accessPointArn } },
  }
}
