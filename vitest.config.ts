import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    pool: "forks",
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // What is polled for comes when it comes: a deadline that only a defect misses. Without this it is one second.
    expect: { poll: { timeout: 30_000 } },
    env: { AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED: "true" },
    // The last line of a run is the plain count; see test/reporter.ts.
    reporters: [["default", { summary: false }], "./test/reporter.ts"],
  },
});
