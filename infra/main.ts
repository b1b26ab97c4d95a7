/** The stacks, in the order they depend on each other. */
import { App } from 'cdktf'
import { checkConfig } from './check-config.ts'
import { account, environments } from './config.ts'
import { ConfigError } from './config-error.ts'
import { Bootstrap } from './stacks/bootstrap.ts'
import { Foundation } from './stacks/foundation.ts'
import { Monitoring } from './stacks/monitoring.ts'
import { Service } from './stacks/service.ts'

try {
  checkConfig(account, environments)
} catch (error) {
  if (!(error instanceof ConfigError)) throw error
  console.error(error.message)
  process.exit(1)
}

const app = new App()
new Bootstrap(app, account, environments)
for (const environment of environments) {
  const foundation = new Foundation(app, account, environment)
  const monitoring = new Monitoring(app, account, environment, foundation)
  new Service(app, account, environment, foundation, monitoring)
}
app.synth()
