/** The stacks of one environment in an app, in the order they depend on each other. */
import type { App } from 'cdktf'
import type { Environment } from './environment.ts'
import type { Place } from './place.ts'
import { Foundation } from './stacks/foundation.ts'
import { Monitoring } from './stacks/monitoring.ts'
import { Service } from './stacks/service.ts'

/** The config is not checked here. */
export function addEnvironment(app: App, place: Place, environment: Environment): void {
  const foundation = new Foundation(app, place, environment)
  const monitoring = new Monitoring(app, place, environment, foundation)
  new Service(app, place, environment, foundation, monitoring)
}
