/**
 * Test kit for `effect-cycles`.
 *
 * @since 0.1.0
 */

export * as Commands from "./Commands.ts"
export * as ReferenceModel from "./ReferenceModel.ts"
