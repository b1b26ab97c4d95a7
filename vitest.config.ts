import { configDefaults, defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // They need a real Prometheus, Terraform, browser, buildah, machines or Kafka: npm run test:monitoring, :deploy, :browser, … What is in test/faults takes minutes.
    exclude: [
      ...configDefaults.exclude,
      'test/infra/monitoring/prometheus/**',
      'test/{deploy,browser,image,ansible,kafka}/**',
      'test/faults/!(kills).test.ts',
      'test/sinks/real/**',
      // Many processes, one after the other: npm run test:long.
      ...(process.env.MILLRACE_LONG
        ? []
        : ['test/cli/{admin,check,log-directory,output,send}.test.ts', 'test/process/signals.test.ts']),
    ],
    testTimeout: 20_000,
    // Vitest keeps a core for itself; most of these wait for processes of their own.
    maxWorkers: 2,
  },
})
