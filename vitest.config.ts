import { configDefaults, defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // They need a real Prometheus, Terraform, browser or buildah: npm run test:monitoring, test:deploy, test:browser, test:image.
    exclude: [...configDefaults.exclude, 'test/infra/monitoring/prometheus/**', 'test/{deploy,browser,image}/**'],
    testTimeout: 20_000,
  },
})
