import { defineConfig } from 'vitest/config'

/** `npm run test:image`: what needs buildah and podman. One image, built once, looked at and run. */
export default defineConfig({
  test: {
    include: ['test/image/**/*.test.ts'],
    testTimeout: 60_000,
    hookTimeout: 10 * 60_000,
  },
})
