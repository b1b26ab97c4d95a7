import { configDefaults, defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // They need a real Prometheus, Terraform or browser: npm run test:monitoring, test:deploy, test:browser.
    exclude: [...configDefaults.exclude, 'test/infra/monitoring/prometheus/**', 'test/deploy/**', 'test/browser/**'],
    testTimeout: 20_000,
  },
})
