/**
 * Every suite is a project: `npm run unit` is `unit`, `npm run test:<name>` the others. What needs a program that is not on
 * every machine (a browser, Kafka, terraform, …), or minutes, is not in `unit`.
 */
import { configDefaults, defineConfig, type TestProjectInlineConfiguration } from 'vitest/config'

const SECOND_MS = 1000
const MINUTE_MS = 60 * SECOND_MS

/** Start many processes, one after the other. */
const PROCESSES = [
  'test/commands.test.ts',
  'test/cli/{admin,check,log-directory,output,send}.test.ts',
  'test/http/{credentials,threads}.test.ts',
  'test/process/signals.test.ts',
  'test/{build,upgrade}.test.ts',
  'test/bench/open-loop.test.ts',
  'test/cli/{cli,fuzz,input}.test.ts',
  'test/client/memory.test.ts',
  'test/config-file/load.test.ts',
  'test/examples/client.test.ts',
  'test/handlers/own-handlers.test.ts',
  'test/delivery-thread/delivery-thread.test.ts',
]

interface Suite {
  readonly include: string[]
  readonly exclude?: string[]
  readonly testTimeout: number
  readonly hookTimeout?: number
  readonly maxWorkers?: number
  readonly fileParallelism?: boolean
  readonly bail?: number
  readonly expect?: { readonly poll: { readonly timeout: number } }
  /** Of the tests; the environment of the command has the last word. */
  readonly env?: Readonly<Record<string, string>>
}

const SUITES: Readonly<Record<string, Suite>> = {
  unit: {
    include: ['test/**/*.test.ts'],
    exclude: [
      'test/infra/monitoring/prometheus/**',
      'test/{deploy,browser,image,ansible,kafka,package}/**',
      'test/faults/**',
      'test/client/kills.test.ts',
      'test/sinks/real/**',
      ...PROCESSES,
    ],
    testTimeout: 20 * SECOND_MS,
    // More than there are cores: many of these wait, for a timer or a process of their own.
    maxWorkers: 3,
  },
  /** Process tests that are short in `unit`, for longer, and those that start many processes. */
  long: {
    include: ['test/service.test.ts', 'test/observability/metrics.test.ts', ...PROCESSES],
    testTimeout: 20 * SECOND_MS,
    maxWorkers: 2,
    env: {
      MILLRACE_SINK_DOWN_MS: '60000',
      MILLRACE_SERVICE_DOWN_MS: '60000',
      MILLRACE_OVERLOAD_SECONDS: '60',
      MILLRACE_COUNTED_EVENTS: '100000',
    },
  },
  /** A file system that forgets and fails, kills, full disks, clocks that jump. */
  faults: {
    include: [
      'test/faults/{clock,disk,durable,kills,stopped-sink}.test.ts',
      'test/log/embedded/{model,corruption}.test.ts',
      'test/delivery/freshness.test.ts',
      'test/client/{kills,queue}.test.ts',
    ],
    testTimeout: MINUTE_MS,
    fileParallelism: false,
    env: {
      MILLRACE_PROGRAM_SECONDS: '60',
      MILLRACE_KILLS: '200',
      MILLRACE_CLIENT_KILLS: '50',
    },
  },
  /** More than it can do, and clients that mean no good: a clock judges, so nothing else should run beside it. */
  overload: {
    include: ['test/faults/{clients,hostile,overload}.test.ts'],
    testTimeout: MINUTE_MS,
    fileParallelism: false,
    env: { MILLRACE_OVERLOAD_SECONDS: '30' },
  },
  /** A real Prometheus. */
  monitoring: { include: ['test/infra/monitoring/prometheus/**/*.test.ts'], testTimeout: MINUTE_MS },
  /** A real browser. */
  browser: {
    include: ['test/browser/**/*.test.ts'],
    testTimeout: MINUTE_MS,
    hookTimeout: MINUTE_MS,
    expect: { poll: { timeout: 10 * SECOND_MS } },
  },
  /** Buildah and podman: one image, built once, looked at and run. */
  image: { include: ['test/image/**/*.test.ts'], testTimeout: MINUTE_MS, hookTimeout: 10 * MINUTE_MS },
  /** Java, and brokers that the tests start. */
  kafka: {
    include: ['test/kafka/**/*.test.ts'],
    testTimeout: MINUTE_MS,
    hookTimeout: 2 * MINUTE_MS,
    fileParallelism: false,
  },
  /** PostgreSQL, PgBouncer, an S3. */
  sinks: {
    include: ['test/sinks/real/**/*.test.ts'],
    testTimeout: MINUTE_MS,
    hookTimeout: 2 * MINUTE_MS,
    fileParallelism: false,
  },
  /** The npm packages, packed, installed into empty directories, and run there. */
  package: {
    include: ['test/package/**/*.test.ts'],
    testTimeout: 10 * MINUTE_MS,
    hookTimeout: 5 * MINUTE_MS,
    maxWorkers: 1,
  },
  /** Ansible, and machines that it installs. Each test goes on where the last one ended. */
  ansible: {
    include: ['test/ansible/**/*.test.ts'],
    bail: 1,
    testTimeout: 5 * MINUTE_MS,
    hookTimeout: 10 * MINUTE_MS,
  },
  /** terraform, an AWS provider, and an emulated AWS for each file. Mostly waiting, so side by side also on two cores. */
  deploy: {
    include: ['test/deploy/**/*.test.ts'],
    bail: 1,
    maxWorkers: 2,
    testTimeout: 15 * MINUTE_MS,
    hookTimeout: MINUTE_MS,
  },
}

function project([name, { exclude = [], env = {}, ...suite }]: [string, Suite]): TestProjectInlineConfiguration {
  const given = Object.fromEntries(Object.entries(env).map(([key, value]) => [key, process.env[key] ?? value]))
  return { test: { name, ...suite, exclude: [...configDefaults.exclude, ...exclude], env: given } }
}

export default defineConfig({ test: { projects: Object.entries(SUITES).map(project) } })
