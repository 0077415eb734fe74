/**
 * The command line `cycles` as a value: to run with arguments of one's own, or to put below a command of one's own.
 *
 * @since 0.1.0
 */
import { exitCodes as codes } from "./cli/CommandError.ts"
import { cycles as root } from "./cli/root.ts"

/**
 * The command `cycles` with all that is below it. `Command.runWith` of `effect/cli` runs it.
 *
 * @category commands
 * @since 0.1.0
 */
export const cycles = root

/**
 * What commands exit with where they do not exit with 0. Trouble with a store that a command opens itself has the codes of
 * `StartupError`.
 *
 * - `Refused` (1): it was understood and refused, or `verify` found a flaw
 * - `Usage` (2): what was typed cannot be understood, or is not valid
 * - `NotFound` (3): what it is about does not exist
 * - `Unreachable` (4): nobody answers, or not in a way that can be understood
 * - `Unauthorized` (5): the key is missing, wrong, or may not do this
 *
 * @category configuration
 * @since 0.1.0
 */
export const exitCodes = codes
