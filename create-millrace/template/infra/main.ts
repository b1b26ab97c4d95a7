/** What `cdktf.json` runs: the stacks of the environments in config.ts. */
import { synth } from 'millrace/infra'
import { account, environments } from './config.ts'

synth(account, environments)
