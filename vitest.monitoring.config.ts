import { defineConfig } from 'vitest/config'

/** `npm run test:monitoring`: what needs a real Prometheus. */
export default defineConfig({
  test: {
    include: ['test/infra/monitoring/prometheus/**/*.test.ts'],
    testTimeout: 60_000,
  },
})
