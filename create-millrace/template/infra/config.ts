/** What is deployed, where. Checked at every synth, so a wrong value never reaches AWS. */
import type { Account, Environment } from 'millrace/infra'

export const account: Account = {
  id: '000000000000', // ← your AWS account: nothing is ever deployed into another one
  region: 'eu-central-1',
  alertsEmail: 'alerts@example.com', // ← who hears of alarms and of the budget
  // ← whose workflows may plan and apply, and which environments they do
  github: { owner: 'example', repository: 'my-pipeline', deploys: ['dev'] },
  quotas: { elasticIps: 5, fargateVcpus: 100 }, // ← what Service Quotas shows for your account
  protectState: true,
  awsProviderVersion: process.env.AWS_PROVIDER_VERSION ?? '6.26.0', // a mirror may hold another one
}

/** `single`: one task with its log on a disk. `scaled`, around Kafka: the types say what it needs beside these. */
export const environments: readonly Environment[] = [
  {
    name: 'dev',
    production: false,
    profile: 'single',
    cidr: '10.10.0.0/20',
    zones: ['a', 'b'],
    natGateways: 'one',
    interfaceEndpoints: [],
    image: { digest: `sha256:${'0'.repeat(64)}` }, // zeros: npm run deploy builds and pushes one, and writes its digest
    spotShare: 1,
    tasks: { all: { cpu: 512, memoryMiB: 1024, minTasks: 1, maxTasks: 1 } },
    logRetentionDays: 365,
    requestsPerFiveMinutesPerAddress: 100_000,
    apiKeyVersion: 1,
    budgetUsdPerMonth: 150,
  },
]
