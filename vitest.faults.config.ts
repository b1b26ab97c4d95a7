import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: [
      'test/faults/**/*.test.ts',
      'test/log/embedded/{model,corruption}.test.ts',
      'test/delivery/freshness.test.ts',
    ],
    testTimeout: 60_000,
    fileParallelism: false,
  },
})
