/**
 * What is deployed, where: the one file to edit before the first `npm run deploy`. The account first, then one value an
 * environment. Checked at every synth (./check-config.ts), so a wrong value never reaches AWS.
 */
import type { Account, Environment, Image } from './environment.ts'

export const account: Account = {
  id: '000000000000', // ← your AWS account: nothing is ever deployed into another one
  region: 'eu-central-1',
  alertsEmail: 'alerts@example.com', // ← who hears of alarms and of the budget
  // ← whose workflows may plan and apply, and which environments they do
  github: { owner: 'example', repository: 'millrace', deploys: ['dev'] },
  quotas: { elasticIps: 5, fargateVcpus: 100 }, // ← what Service Quotas shows for your account
  protectState: true,
  awsProviderVersion: process.env.AWS_PROVIDER_VERSION ?? '6.26.0', // a mirror may hold another one
}

/** Written by the release: what runs in staging is what runs in prod. All zeros: the first deployment builds and pushes one. */
const released: Image = { digest: `sha256:${'0'.repeat(64)}` }

export const environments: readonly Environment[] = [
  {
    name: 'dev',
    production: false,
    profile: 'single',
    cidr: '10.10.0.0/20',
    zones: ['a', 'b'],
    natGateways: 'one',
    interfaceEndpoints: [],
    image: released,
    spotShare: 1,
    tasks: { all: { cpu: 512, memoryMiB: 1024, minTasks: 1, maxTasks: 1 } },
    logRetentionDays: 365,
    requestsPerFiveMinutesPerAddress: 100_000,
    apiKeyVersion: 1,
    budgetUsdPerMonth: 150,
  },
  {
    name: 'staging',
    production: false,
    profile: 'scaled',
    cidr: '10.20.0.0/20',
    zones: ['a', 'b', 'c'],
    natGateways: 'one',
    interfaceEndpoints: [],
    image: released,
    spotShare: 0.5,
    tasks: {
      ingest: { cpu: 1024, memoryMiB: 2048, minTasks: 2, maxTasks: 6 },
      deliver: { cpu: 512, memoryMiB: 1024, minTasks: 1, maxTasks: 4 },
    },
    kafka: { brokerType: 'kafka.t3.small', storageGiB: 50, plannedMibps: 0.2 },
    logRetentionDays: 365,
    requestsPerFiveMinutesPerAddress: 500_000,
    apiKeyVersion: 1,
    budgetUsdPerMonth: 600,
  },
  {
    name: 'prod',
    production: true,
    profile: 'scaled',
    domain: { name: 'events.example.com', hostedZoneId: 'ZEXAMPLE' }, // ← yours, in a zone of Route 53
    cidr: '10.30.0.0/20',
    zones: ['a', 'b', 'c'],
    natGateways: 'per-zone',
    interfaceEndpoints: [],
    image: released,
    spotShare: 0,
    tasks: {
      // One vCPU each: a process is one event loop, and more of them is what scales.
      ingest: {
        cpu: 1024,
        memoryMiB: 2048,
        minTasks: 3,
        maxTasks: 60,
        peaks: [{ name: 'working-day', from: 'cron(0 7 ? * MON-FRI *)', to: 'cron(0 19 ? * MON-FRI *)', minTasks: 6 }],
      },
      deliver: { cpu: 1024, memoryMiB: 2048, minTasks: 2, maxTasks: 12 },
    },
    kafka: { brokerType: 'kafka.m7g.large', storageGiB: 500, plannedMibps: 2 },
    logRetentionDays: 365,
    requestsPerFiveMinutesPerAddress: 2_000_000,
    apiKeyVersion: 1,
    budgetUsdPerMonth: 3000,
  },
]
