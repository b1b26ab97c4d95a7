import { defineConfig } from 'vitest/config'

/** `npm run test:ansible`: what needs Ansible, and machines that it installs. Each test goes on where the last one ended. */
export default defineConfig({
  test: {
    include: ['test/ansible/**/*.test.ts'],
    bail: 1,
    testTimeout: 5 * 60_000,
    hookTimeout: 5 * 60_000,
  },
})
