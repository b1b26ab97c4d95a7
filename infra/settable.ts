/** Which variables of the app an environment may set, and which of its tasks get them. */
import type { Environment as ContainerEnvironment } from '../app/config.ts'

/** The stacks set them, or a task cannot use them. A test compares them with the task definitions. */
export const STACK_VARIABLES = [
  'ROLE',
  'ENVIRONMENT',
  'HOST',
  'PORT',
  'ADMIN_HOST',
  'ADMIN_PORT',
  'CLOUDWATCH_INTERVAL_MS',
  'SHUTDOWN_GRACE_MS',
  'SHUTDOWN_DRAIN_MS',
  'LOG_ENGINE',
  'DATA_DIR',
  'KAFKA_BROKERS',
  'KAFKA_AUTH',
  'KAFKA_AWS_REGION',
  'KAFKA_CREATE_TOPICS',
  'KAFKA_RETENTION_MS',
  'SINKS',
  'S3_SINK_BUCKET',
  'S3_SINK_PREFIX',
  'S3_SINK_REGION',
  'S3_SINK_KMS_KEY_ID',
  'FILE_SINK_DIR',
  'API_KEYS',
  'API_KEYS_FILE',
  'TLS_CERT_FILE',
  'TLS_KEY_FILE',
  'TLS_CLIENT_CA_FILE',
  'TLS_SELF_SIGNED',
] as const satisfies readonly (keyof ContainerEnvironment)[]

export type SettableVariable = Exclude<keyof ContainerEnvironment, (typeof STACK_VARIABLES)[number]>

/** Variables of sinks, and their secrets, are for tasks that deliver. */
export function isForRole(name: string, role: string): boolean {
  return role !== 'ingest' || !name.includes('_SINK_')
}
