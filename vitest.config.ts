import { configDefaults, defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // They need a real Prometheus: npm run test:monitoring.
    exclude: [...configDefaults.exclude, 'test/infra/monitoring/prometheus/**'],
    testTimeout: 20_000,
  },
})
