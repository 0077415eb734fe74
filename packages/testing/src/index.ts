/**
 * Test kit for `effect-cycles`.
 *
 * @since 0.1.0
 */

export * as AuthorityConformance from "./AuthorityConformance.ts"
export * as Commands from "./Commands.ts"
export * as GovernanceConformance from "./GovernanceConformance.ts"
export * as HistoryConformance from "./HistoryConformance.ts"
export * as LedgerInStep from "./LedgerInStep.ts"
export * as LedgerStoreConformance from "./LedgerStoreConformance.ts"
export * as ModelConformance from "./ModelConformance.ts"
export * as NoLeaks from "./NoLeaks.ts"
export * as ReferenceModel from "./ReferenceModel.ts"
export * as ScriptedAuthority from "./ScriptedAuthority.ts"
export * as WireFuzz from "./WireFuzz.ts"
export * as WireSpecification from "./WireSpecification.ts"
export * as WireWatch from "./WireWatch.ts"
