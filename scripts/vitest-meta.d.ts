export type Reason = string

declare module "vitest" {
  interface TaskMeta {
    /** Why this test, or every test of this suite, does not run. */
    reason?: Reason
    /** How many answers the servers of this file's tests gave, held to the specification or not. */
    responses?: { readonly judged: number; readonly unjudged: number }
  }
}
