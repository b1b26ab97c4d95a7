/** A log that a task still owns is not taken away from it: what it has acknowledged would go with the disk. */
import { ConfigError } from './config-error.ts'
import type { Environment } from './environment.ts'
import { TerraformStack } from './terraform.ts'

/**
 * Before anything is planned for an environment that became `scaled`. Reads the state of its service; both stacks are initialised.
 * @throws ConfigError with the steps, where the task of the single profile runs and its disk would go.
 */
export async function requireLogToStay({ name, profile, formerLog }: Environment): Promise<void> {
  if (profile === 'single' || formerLog !== undefined) return
  const deployed = await new TerraformStack(`${name}-service`).resources()
  if (!deployed.some((address) => address.startsWith('aws_ecs_service.all_'))) return
  throw new ConfigError(
    `infra/config.ts: ${name}: the task of the single profile runs, and its log is on the disk that would go: ` +
      "set formerLog: 'drain', and go on as docs/runbooks/single-to-scaled.md says",
  )
}
