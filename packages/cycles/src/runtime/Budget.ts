/**
 * Budget around a piece of work: everything that is written as `Budget.…`, in one place. The parts live in modules of their own:
 * the guard itself in `Guard`, sharing one reservation in `Allotment` and `Sharing`, composing guarded calls in `Composing`,
 * `Waiting`, `GuardAll` and `Loops`.
 *
 * @since 0.1.0
 */

export * from "./Guard.ts"

export { allot, closing, type DoneOf, Exhausted, remaining, type Request as AllotRequest } from "./Allotment.ts"
export { ladder, race, retry, type RetryPolicy } from "./Composing.ts"
export { guardAll } from "./GuardAll.ts"
export { breakLoops, LoopDetected, type LoopOptions } from "./Loops.ts"
export { all, forEach, type Share, type ShareOptions } from "./Sharing.ts"
export { whenAvailable } from "./Waiting.ts"
