import { defineConfig } from 'vitest/config'

/** `npm run test:deploy`: what needs terraform, an AWS provider and an emulated AWS, one for each file. Mostly waiting. */
export default defineConfig({
  test: {
    include: ['test/deploy/**/*.test.ts'],
    bail: 1,
    maxWorkers: 2, // also on two cores
    testTimeout: 15 * 60_000,
    hookTimeout: 60_000,
  },
})
