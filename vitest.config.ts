import { configDefaults, defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // They need a real Prometheus, Terraform, browser, buildah or machines: npm run test:monitoring, :deploy, :browser, :image, :ansible.
    exclude: [
      ...configDefaults.exclude,
      'test/infra/monitoring/prometheus/**',
      'test/{deploy,browser,image,ansible}/**',
    ],
    testTimeout: 20_000,
  },
})
