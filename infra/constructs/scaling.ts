/**
 * How many tasks: AWS target tracking, which keeps each metric near its target and follows the one that asks for most.
 *
 *     metric above target for 3 minutes ─▶ tasks × metric / target          metric below 90 % of it for 15 ─▶ fewer
 *
 * Source: https://docs.aws.amazon.com/autoscaling/application/userguide/application-auto-scaling-target-tracking.html
 */
import { AppautoscalingPolicy } from '@cdktf/provider-aws/lib/appautoscaling-policy/index.js'
import { AppautoscalingScheduledAction } from '@cdktf/provider-aws/lib/appautoscaling-scheduled-action/index.js'
import { AppautoscalingTarget } from '@cdktf/provider-aws/lib/appautoscaling-target/index.js'
import { Construct } from 'constructs'
import { CLOUDWATCH } from '../../app/observability/cloudwatch.ts'
import type { Environment, Tasks } from '../environment.ts'
import type { Role } from '../names.ts'
import { TARGETS } from '../scale.ts'
import type { FargateService } from './fargate-service.ts'

const SCALE_OUT_COOLDOWN_SECONDS = 60
const SCALE_IN_COOLDOWN_SECONDS = 300

export interface ScalingOptions {
  readonly environment: Environment
  readonly role: Role
  readonly tasks: Tasks
  readonly clusterName: string
  readonly service: FargateService
  /** Behind a load balancer: dimensions of its metrics. */
  readonly balancer?: { readonly LoadBalancer: string; readonly TargetGroup: string }
}

export class Scaling extends Construct {
  readonly #target: AppautoscalingTarget

  constructor(scope: Construct, id: string, options: ScalingOptions) {
    super(scope, id)
    const { environment, role, tasks, clusterName, service, balancer } = options
    this.#target = new AppautoscalingTarget(this, 'target', {
      serviceNamespace: 'ecs',
      scalableDimension: 'ecs:service:DesiredCount',
      resourceId: `service/${clusterName}/${role}`,
      minCapacity: tasks.minTasks,
      maxCapacity: tasks.maxTasks,
      dependsOn: [service.service],
      // The schedule sets it: a deployment in between must not take the floor of a peak away.
      ...(tasks.peaks && { lifecycle: { ignoreChanges: ['min_capacity'] } }),
    })
    const published = (metricName: string) => ({
      customizedMetricSpecification: {
        namespace: CLOUDWATCH.namespace,
        metricName,
        statistic: 'Average',
        dimensions: CLOUDWATCH.dimensions.map((name) => ({
          name,
          value: name === 'Environment' ? environment.name : role,
        })),
      },
    })
    const cpu = { predefinedMetricSpecification: { predefinedMetricType: 'ECSServiceAverageCPUUtilization' } }
    this.#follow('cpu', TARGETS.cpuPercent, cpu)
    // What more tasks help with: not a channel that fills up behind a slow broker, not a sink that fails.
    this.#follow('loop', TARGETS.loopUse, published(CLOUDWATCH.loopUse))
    if (role === 'deliver') this.#follow('lag', TARGETS.lagEvents, published(CLOUDWATCH.workingLag))
    if (balancer !== undefined) {
      this.#follow('requests', (TARGETS.requestsPerMinutePerCore * tasks.cpu) / 1024, requestsPerTarget(balancer))
    }
    for (const peak of tasks.peaks ?? []) {
      this.#floorFrom(`${peak.name}-begins`, peak.from, peak.minTasks)
      this.#floorFrom(`${peak.name}-ends`, peak.to, tasks.minTasks)
    }
  }

  #follow(name: string, targetValue: number, metric: object): void {
    new AppautoscalingPolicy(this, name, {
      name,
      policyType: 'TargetTrackingScaling',
      serviceNamespace: this.#target.serviceNamespace,
      scalableDimension: this.#target.scalableDimension,
      resourceId: this.#target.resourceId,
      targetTrackingScalingPolicyConfiguration: {
        targetValue,
        scaleOutCooldown: SCALE_OUT_COOLDOWN_SECONDS,
        scaleInCooldown: SCALE_IN_COOLDOWN_SECONDS,
        ...metric,
      },
    })
  }

  #floorFrom(name: string, schedule: string, minCapacity: number): void {
    new AppautoscalingScheduledAction(this, name, {
      name,
      schedule,
      timezone: 'Etc/UTC',
      serviceNamespace: this.#target.serviceNamespace,
      scalableDimension: this.#target.scalableDimension,
      resourceId: this.#target.resourceId,
      // Not the most: raised in config.ts, that must hold at once.
      scalableTargetAction: { minCapacity: String(minCapacity) },
    })
  }
}

/** Without requests the load balancer publishes no count, and a metric without data lets nothing scale in: 0 then. */
function requestsPerTarget(balancer: NonNullable<ScalingOptions['balancer']>): object {
  const metric = {
    namespace: 'AWS/ApplicationELB',
    metricName: 'RequestCountPerTarget',
    dimensions: Object.entries(balancer).map(([name, value]) => ({ name, value })),
  }
  return {
    customizedMetricSpecification: {
      metrics: [
        { id: 'counted', metricStat: { metric, stat: 'Sum' }, returnData: false },
        { id: 'requests', expression: 'FILL(counted, 0)', label: 'Requests a target', returnData: true },
      ],
    },
  }
}
