/** What `cdktf.json` runs: the stacks of the environments in config.ts. */
import { account, environments } from './config.ts'
import { synth } from './index.ts'

synth(account, environments)
