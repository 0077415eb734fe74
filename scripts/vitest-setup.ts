import { afterEach, beforeEach, expect } from "@effect/vitest"

// A test without an assertion proves nothing; @effect/vitest's `assert` is chai's, which does not count, so it is counted here.
void afterEach
void beforeEach
void expect
