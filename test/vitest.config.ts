import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/support/build.ts'],
    reporters: ['default', './test/support/closing-line.ts'],
    // What decides must be tested whole; the edges are tested by what they do to real servers.
    coverage: {
      provider: 'v8',
      include: ['src/legacy/**', 'src/policy/**', 'src/failure.ts'],
      thresholds: { branches: 100 },
      reporter: ['text'],
      skipFull: true,
    },
    testTimeout: 20_000,
    hookTimeout: 60_000,
  },
});
