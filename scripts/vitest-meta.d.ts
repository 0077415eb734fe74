export type Reason = string

declare module "vitest" {
  interface TaskMeta {
    /** Why this test, or every test of this suite, does not run. */
    reason?: Reason
  }
}
