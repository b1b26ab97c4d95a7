import { configDefaults, defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // They need a real Prometheus or Terraform: npm run test:monitoring, npm run test:deploy.
    exclude: [...configDefaults.exclude, 'test/infra/monitoring/prometheus/**', 'test/deploy/**'],
    testTimeout: 20_000,
  },
})
