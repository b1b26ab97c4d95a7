/**
 * What users import from `millrace/infra`: `synth` makes all stacks, as infra/main.ts does here. The stacks and constructs are for
 * an app of their own.
 */
import { App } from 'cdktf'
import { addEnvironment } from './add-environment.ts'
import { checkConfig } from './check-config.ts'
import { ConfigError } from './config-error.ts'
import type { Account, Environment } from './environment.ts'
import { accountsOf, placeOf } from './place.ts'
import { Bootstrap } from './stacks/bootstrap.ts'

export { checkConfig } from './check-config.ts'
export { ConfigError } from './config-error.ts'
export { FargateService, type FargateServiceOptions } from './constructs/fargate-service.ts'
export { KafkaCluster } from './constructs/kafka-cluster.ts'
export { LogVolume } from './constructs/log-volume.ts'
export { Network } from './constructs/network.ts'
export { PrivateBucket } from './constructs/private-bucket.ts'
export type { Account, Environment, Image, KafkaSize, Tasks } from './environment.ts'
export { addCollector, type CollectorOptions } from './monitoring/collector.ts'
export { addServiceAlarms, type ServiceAlarmsOptions } from './monitoring/service-alarms.ts'
export { accountsOf, type Place, placeOf } from './place.ts'
export { Bootstrap } from './stacks/bootstrap.ts'
export { Foundation } from './stacks/foundation.ts'
export { Monitoring } from './stacks/monitoring.ts'
export { Service } from './stacks/service.ts'

/**
 * The stacks, in the order they depend on each other, into `cdktf.out` or where cdktf says. For the program that `cdktf.json`
 * names: a value that is impossible is one line, and ends the process with exit code 1.
 */
export function synth(account: Account, environments: readonly Environment[]): void {
  try {
    checkConfig(account, environments)
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    console.error(error.message)
    process.exit(1)
  }
  const app = new App()
  const accounts = accountsOf(account, environments)
  for (const { place, environments: within } of accounts) {
    const others = accounts.map(({ place: { id } }) => id).filter((id) => id !== place.id)
    new Bootstrap(app, place, within, others)
  }
  for (const environment of environments) addEnvironment(app, placeOf(account, environment), environment)
  app.synth()
}
