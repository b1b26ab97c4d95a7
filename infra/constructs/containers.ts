/**
 * The containers of a task, as ECS takes them: one JSON text, in which nothing is checked by Terraform. The app is essential,
 * the collector is not: metrics may fail, events may not.
 */
import type { Environment as ContainerEnvironment } from '../../app/config.ts'
import type { Account, Environment, Tasks } from '../environment.ts'
import { collectorParameter, type Role } from '../names.ts'
import { TIMING } from '../timing.ts'
import { CONTAINER_USER_ID, type LogVolume } from './log-volume.ts'

export interface ContainersOptions {
  readonly account: Pick<Account, 'id' | 'region'>
  readonly environment: Pick<Environment, 'name'>
  readonly role: Role
  readonly tasks: Tasks
  /** `registry/name@sha256:…` */
  readonly image: string
  readonly variables: ContainerEnvironment
  /** Variables whose values stay in Secrets Manager, by the secret's ARN. */
  readonly secrets: Readonly<Record<string, string>>
  readonly volume?: LogVolume | undefined
  readonly behind?: { readonly port: number }
  /** Of the collector's configuration: it is read when a task starts, so a new one must start new tasks. */
  readonly collectorVersion: string
}

/** The AWS Distro for OpenTelemetry, by exact version. */
const COLLECTOR_IMAGE = 'public.ecr.aws/aws-observability/aws-otel-collector:v0.43.3'
const COLLECTOR_MEMORY_MIB = 256
/** Share of the task's CPU; the app has the rest. Without its own share, the collector could use that of the app. */
const COLLECTOR_CPU = 64
/** ECS restarts a container that has run for so long, and no sooner. */
const RESTART_AFTER_SECONDS = 60
/** The image's working directory: DATA_DIR is relative to it. */
export const WORKING_DIRECTORY = '/app'
/** ECS looks at this one only, not at the image's own; a test holds the two to be the same. */
export const HEALTH_CHECK = {
  command: [
    'CMD',
    'node',
    '-e',
    "fetch('http://127.0.0.1:'+(process.env.ADMIN_PORT||process.env.MILLRACE_ADMIN_PORT||9464)+'/health/live').then((r)=>process.exit(r.ok?0:1),()=>process.exit(1))",
  ],
  interval: 10,
  timeout: 5,
  retries: 3,
  startPeriod: 30,
}
/** The value of `container_definitions`. */
export function containerDefinitions(options: ContainersOptions): string {
  const { account, environment, role, tasks, image, variables, secrets, volume, behind, collectorVersion } = options
  const log = (stream: string) => ({
    logDriver: 'awslogs',
    options: {
      'awslogs-group': `/millrace/${environment.name}/${role}`,
      'awslogs-region': account.region,
      'awslogs-stream-prefix': stream,
      mode: 'non-blocking', // a slow log never stops events
      'max-buffer-size': '8m',
    },
  })
  const hardened = {
    readonlyRootFilesystem: true,
    privileged: false,
    linuxParameters: { initProcessEnabled: true, capabilities: { drop: ['ALL'], add: [] } },
  }
  const app = {
    ...hardened,
    name: 'app',
    image,
    essential: true,
    user: `${CONTAINER_USER_ID}:${CONTAINER_USER_ID}`,
    cpu: tasks.cpu - COLLECTOR_CPU,
    memory: tasks.memoryMiB - COLLECTOR_MEMORY_MIB,
    stopTimeout: TIMING.stopTimeoutSeconds,
    environment: byName(variables).map(([name, value]) => ({ name, value })),
    secrets: byName(secrets).map(([name, valueFrom]) => ({ name, valueFrom })),
    portMappings: behind ? [{ containerPort: behind.port, hostPort: behind.port, protocol: 'tcp' }] : [],
    // All else is read-only.
    mountPoints: volume ? [{ sourceVolume: 'data', containerPath: `${WORKING_DIRECTORY}/data`, readOnly: false }] : [],
    volumesFrom: [],
    systemControls: [],
    ulimits: [{ name: 'nofile', softLimit: 65_536, hardLimit: 65_536 }],
    healthCheck: HEALTH_CHECK,
    logConfiguration: log('app'),
  }
  const collector = {
    ...hardened,
    name: 'collector',
    image: COLLECTOR_IMAGE,
    essential: false,
    restartPolicy: { enabled: true, restartAttemptPeriod: RESTART_AFTER_SECONDS },
    cpu: COLLECTOR_CPU,
    memory: COLLECTOR_MEMORY_MIB,
    secrets: [
      {
        name: 'AOT_CONFIG_CONTENT',
        valueFrom: `arn:aws:ssm:${account.region}:${account.id}:parameter${collectorParameter(environment)}`,
      },
    ],
    environment: byName({ CONFIGURATION_VERSION: collectorVersion, ROLE: role }).map(([name, value]) => ({
      name,
      value,
    })),
    portMappings: [],
    mountPoints: [],
    volumesFrom: [],
    systemControls: [],
    healthCheck: { command: ['CMD', '/healthcheck'], interval: 10, timeout: 5, retries: 3, startPeriod: 10 },
    logConfiguration: log('collector'),
  }
  return JSON.stringify([app, collector])
}

/** In a fixed order: the same config always gives the same task definition. */
function byName(values: Partial<Record<string, string>>): [string, string][] {
  return Object.entries(values)
    .flatMap(([name, value]): [string, string][] => (value === undefined ? [] : [[name, value]]))
    .sort(([a], [b]) => (a < b ? -1 : 1))
}
